package notify

import "time"

// SetMaxLag sets how long the hub waits for an event that it knows of.
func (h *Hub) SetMaxLag(d time.Duration) { h.maxLag = d }
