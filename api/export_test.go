package api

// AcquireAllLargeOutputs takes all permits for responses with a large output.
func (a *API) AcquireAllLargeOutputs() {
	for range maxLargeOutputs {
		a.largeOutputs.permits <- struct{}{}
	}
}
