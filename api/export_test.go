package api

// FillLarge takes the turns of all answers with a large output.
func (a *API) FillLarge() {
	for range maxLargeOutputs {
		a.largeOutputs.permits <- struct{}{}
	}
}
