package notify

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// TestRing does at random what a topic does, beside a plain list of events.
func TestRing(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2)) // the same each time
	for range 50 {
		var r ring
		var want []Event
		bytes := 0
		var held []Event // what was handed out, as text at that time
		var text []string
		n := uint64(0)
		for range 2000 {
			if len(want) > 0 && random.IntN(5) < 2+random.IntN(2) {
				r.shift()
				bytes -= len(want[0].Data)
				want = want[1:]
			} else {
				prev := n
				n += 1 + random.Uint64N(3)
				data := fmt.Appendf(nil, "%d%s", n, strings.Repeat("x", []int{0, 10, 300, 20_000}[random.IntN(4)]))
				e := Event{ID: ID{1, n}, Prev: ID{1, prev}, Name: []string{"log", "progress", "status"}[random.IntN(3)], Data: data}
				r.push(e)
				e.Data = slices.Clone(data)
				want = append(want, e)
				bytes += len(data)
				clear(data) // it is the caller's
			}
			if r.len() != len(want) || r.bytes != bytes {
				t.Fatalf("got %d events of %d bytes, want %d of %d", r.len(), r.bytes, len(want), bytes)
			}
			if len(want) > 0 && r.oldest() != want[0].ID {
				t.Fatalf("got %v as the oldest, want %v", r.oldest(), want[0].ID)
			}
			cursor := ID{1, max(n, 5) - random.Uint64N(5)}
			if got, want := r.has(cursor), slices.ContainsFunc(want, func(e Event) bool { return e.ID == cursor }); got != want {
				t.Fatalf("has %v: got %t", cursor, got)
			}
			i := slices.IndexFunc(want, func(e Event) bool { return e.ID.Compare(cursor) > 0 })
			got := r.after(cursor)
			if i < 0 && len(got) > 0 || i >= 0 && !slices.EqualFunc(got, want[i:], func(a, b Event) bool {
				return a.ID == b.ID && a.Prev == b.Prev && a.Name == b.Name && string(a.Data) == string(b.Data)
			}) {
				t.Fatalf("after %v: got %v, want those from %d of %v", cursor, got, i, want)
			}
			for _, e := range got {
				held, text = append(held, e), append(text, e.Name+string(e.Data))
			}
		}
		for i, e := range held {
			if e.Name+string(e.Data) != text[i] {
				t.Fatalf("event %v has changed after it was handed out", e.ID)
			}
		}
	}
}
