package notify

import "time"

// SetLate sets how long the hub waits for an event that it knows of.
func (h *Hub) SetLate(d time.Duration) { h.late = d }
