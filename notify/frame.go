package notify

import (
	"bytes"
	"slices"
)

// AppendFrame appends a server-sent event (WHATWG HTML, section 9.2.6) to dst. An empty id does not
// change the viewer's last event id. The id comes last, so that a client that dispatches a
// truncated frame requests that event again.
func AppendFrame(dst []byte, name, id string, data []byte) []byte {
	dst = slices.Grow(dst, len(name)+len(data)+len(id)+len("event: \ndata: \nid: \n\n"))
	dst = append(append(append(dst, "event: "...), name...), '\n')
	if bytes.IndexByte(data, '\r') >= 0 {
		data = bytes.ReplaceAll(data, []byte("\r"), nil)
	}
	for line := range bytes.SplitSeq(data, []byte("\n")) {
		dst = append(append(append(dst, "data: "...), line...), '\n')
	}
	if id != "" {
		dst = append(append(append(dst, "id: "...), id...), '\n')
	}
	return append(dst, '\n')
}
