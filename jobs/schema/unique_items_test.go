package schema

import (
	"encoding/json"
	"fmt"
	"math/big"
	"strings"
	"testing"

	"coatcheck/jobs"
)

// Equal items are found however they are written, and items with the same
// concatenated contents are not mistaken for equal ones.
func TestUniqueItems(t *testing.T) {
	t.Parallel()
	c, err := newCompiler(map[string]any{
		"list":  json.RawMessage(`{"type":"array","uniqueItems":true}`),
		"below": json.RawMessage(`{"properties":{"uniqueItems":{"uniqueItems":true}},"enum":[{"uniqueItems":[]},{"uniqueItems":[1,1]}]}`),
	})
	if err != nil {
		t.Fatal(err)
	}
	list, err := c.At("list")
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		`[1,2,1.0]`: "items 0 and 2", `[1e2,100]`: "items 0 and 1", `[-0,0.0]`: "items 0 and 1", `[0.10,1e-1]`: "items 0 and 1", `[1,-1,10]`: "", `[10,1]`: "",
		`[{"a":1,"b":2},{"b":2.0,"a":1}]`: "items 0 and 1", `[{"a":1},{"a":"1"}]`: "", `[["a"],["a"]]`: "items 0 and 1", `[["a","b"],["ab"],["a\u0004b"]]`: "",
		`[null,false,true,"null","false",0,[],{},""]`: "", `[[[]],[[],[]],[]]`: "", `[null,null]`: "items 0 and 1", `[true]`: "",
	} {
		mistakes, err := Check(t.Context(), list, []byte(text), "body")
		if err != nil || fmt.Sprint(mistakes) == "[]" != (want == "") || !strings.Contains(fmt.Sprint(mistakes), want) {
			t.Errorf("%s: %v, %v, want %q", text, mistakes, err, want)
		}
	}
	below, err := c.At("below")
	if err != nil {
		t.Fatal(err)
	}
	mistakes, err := Check(t.Context(), below, []byte(`{"uniqueItems":[1,1]}`), "body")
	if err != nil || len(mistakes) != 1 || mistakes[0].Location != "body.uniqueItems" {
		t.Errorf("%v, %v", mistakes, err)
	}
}

// Two numbers have the same canonical text if and only if they are equal.
func FuzzCanonicalNumber(f *testing.F) {
	for _, pair := range [][2]string{{"1", "1.0"}, {"100", "1e2"}, {"-0", "0e5"}, {"0.001", "1E-3"}, {"10", "1"}, {"1e+2", "10e1"}} {
		f.Add(pair[0], pair[1])
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		if !json.Valid([]byte("["+a+","+b+"]")) || !jobs.CheapNumber(a, maxDigits) || !jobs.CheapNumber(b, maxDigits) {
			return
		}
		x, ok := new(big.Rat).SetString(a)
		y, same := new(big.Rat).SetString(b)
		if !ok || !same {
			return
		}
		if equal := canonicalNumber(a) == canonicalNumber(b); equal != (x.Cmp(y) == 0) {
			t.Errorf("%s is %s, %s is %s", a, canonicalNumber(a), b, canonicalNumber(b))
		}
	})
}
