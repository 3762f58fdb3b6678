package spec

import "encoding/json"

// FileSchema is the JSON Schema of an output that is a file.
var FileSchema = json.RawMessage(`{
	"type": "object", "description": "A file, which the result URL serves.",
	"required": ["url", "name", "content_type", "bytes", "sha256"],
	"properties": {
		"url": {"type": "string", "format": "uri", "description": "Serves the file, with byte ranges."},
		"name": {"type": "string"}, "content_type": {"type": "string"},
		"bytes": {"type": "integer"},
		"sha256": {"type": "string", "description": "Of the content, in hexadecimal."}
	}
}`)
