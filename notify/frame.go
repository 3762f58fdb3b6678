package notify

import "bytes"

// AppendFrame appends a server-sent event (WHATWG HTML, section 9.2.6). An
// empty id leaves the viewer's newest one alone. It comes last: clients that
// hand on a frame that was cut off then ask for it again.
func AppendFrame(dst []byte, name, id string, data []byte) []byte {
	dst = append(append(append(dst, "event: "...), name...), '\n')
	for line := range bytes.SplitSeq(data, []byte("\n")) {
		line = bytes.ReplaceAll(line, []byte("\r"), nil)
		dst = append(append(append(dst, "data: "...), line...), '\n')
	}
	if id != "" {
		dst = append(append(append(dst, "id: "...), id...), '\n')
	}
	return append(dst, '\n')
}
