package jobs_test

import (
	"encoding/json"
	"strings"
	"testing"

	"coatcheck/jobs"
)

func TestNumberIsBounded(t *testing.T) {
	for _, text := range []string{"1e10001", "1e-10001", "1e99999999999999999999", strings.Repeat("9", 10_001), `"7"`, "true"} {
		var n jobs.Number
		if err := json.Unmarshal([]byte(text), &n); err == nil {
			t.Errorf("%.30s was taken", text)
		}
	}
	long := strings.Repeat("9", 10_000)
	var n jobs.Number
	if err := json.Unmarshal([]byte(long), &n); err != nil {
		t.Fatal(err)
	}
	if text, err := json.Marshal(n); string(text) != long || err != nil {
		t.Errorf("10,000 digits became %.30s…, %v", text, err)
	}
}
