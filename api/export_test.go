package api

import (
	"context"

	"coatcheck/api/limits"
)

// AcquireAllLargeOutputs takes all permits for responses with a large output.
func (a *API) AcquireAllLargeOutputs() {
	for range limits.MaxOutputs {
		if _, err := a.outputs.Acquire(context.Background(), "", nil); err != nil {
			panic(err)
		}
	}
}
