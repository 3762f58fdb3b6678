package queue

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"coatcheck/jobs/store"
)

func newTestCommitter(t *testing.T) (*committer, *sql.DB) {
	t.Helper()
	d, err := store.OpenSQLite(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	if _, err := d.Write.ExecContext(t.Context(), `CREATE TABLE t (n INTEGER PRIMARY KEY)`); err != nil {
		t.Fatal(err)
	}
	c := newCommitter(func(changes []*change) error {
		tx, err := d.Begin(t.Context())
		if err != nil {
			return err
		}
		defer tx.Rollback()
		b := &batch{q: &Queue{db: d}, tx: tx}
		if err := b.change(t.Context(), changes); err != nil {
			return err
		}
		return tx.Commit()
	})
	t.Cleanup(c.close)
	return c, d.Read
}

func insert(n int) func(context.Context, *batch) error {
	return func(ctx context.Context, b *batch) error {
		_, err := b.tx.ExecContext(ctx, `INSERT INTO t VALUES ($1)`, n)
		return err
	}
}

// In one batch are good changes, one that the database refuses, and one that
// refuses itself: each gets its own answer.
func TestCommitterKeepsChangesApart(t *testing.T) {
	c, db := newTestCommitter(t)
	errNo := errors.New("no")
	// The first change holds the loop until the others have gathered.
	gathered, held := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	errs := make([]error, 12)
	wg.Go(func() {
		errs[0] = c.commit(t.Context(), &change{apply: func(ctx context.Context, b *batch) error {
			close(held)
			<-gathered
			return insert(0)(ctx, b)
		}})
	})
	<-held
	for i := 1; i < len(errs); i++ {
		apply := insert(i)
		switch i {
		case 5:
			apply = insert(0) // a second time
		case 6:
			apply = func(context.Context, *batch) error { return refuse(errNo) }
		}
		wg.Go(func() {
			errs[i] = c.commit(t.Context(), &change{names: []string{fmt.Sprintf("%02d", i)}, apply: apply})
		})
	}
	for len(c.queue) < len(errs)-1 {
		if t.Context().Err() != nil {
			t.Fatal("the changes did not gather")
		}
	}
	close(gathered)
	wg.Wait()
	for i, err := range errs {
		if (err != nil) != (i == 5 || i == 6) {
			t.Errorf("change %d: got %v", i, err)
		}
	}
	if !errors.Is(errs[6], errNo) {
		t.Errorf("got %v, want %v", errs[6], errNo)
	}
	var n int
	if err := db.QueryRowContext(t.Context(), `SELECT count(*) FROM t`).Scan(&n); err != nil || n != len(errs)-2 {
		t.Errorf("%d rows, %v, want %d", n, err, len(errs)-2)
	}
}

func TestCommitterClosed(t *testing.T) {
	c, _ := newTestCommitter(t)
	c.close()
	if err := c.commit(t.Context(), &change{apply: insert(1)}); !errors.Is(err, errClosed) {
		t.Errorf("got %v, want %v", err, errClosed)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.commit(ctx, &change{apply: insert(1)}); err == nil {
		t.Error("committed after the close")
	}
}

// What is about the same, what wants to be alone and what is too large waits for
// a later batch, in the order in which it came.
func TestCommitterGatherDefersConflicts(t *testing.T) {
	c := &committer{queue: make(chan *change, maxBatch)}
	for _, ch := range []*change{
		{names: []string{"b"}},
		{names: []string{"a", "x"}},
		{names: []string{"c", "x"}},
		{names: []string{"c"}}, // behind the one before, although nothing of this batch is about c
		{names: []string{"d"}, size: maxBatchSize + 1},
		{names: []string{"e"}, alone: true},
		{names: []string{"f"}},
	} {
		c.queue <- ch
	}
	var got []string
	for first := range 5 {
		var batch []*change
		if first == 0 {
			batch = c.gather(<-c.queue)
		} else if len(c.deferred) > 0 {
			batch = c.gather(nil)
		}
		var names []string
		for _, ch := range batch {
			names = append(names, ch.name())
		}
		got = append(got, strings.Join(names, " "))
	}
	if want := []string{"a b f", "c", "c", "d", "e"}; !slices.Equal(got, want) {
		t.Errorf("batches %q, want %q", got, want)
	}
}
