package queue_test

import (
	"path/filepath"
	"sync"
	"testing"

	"coatcheck/jobs"
	"coatcheck/jobs/jobstest"
	"coatcheck/jobs/store"
)

// A backup that is made while jobs come and run is whole, and has every job
// that was accepted before.
func TestBackupUnderLoad(t *testing.T) {
	db, dir := jobstest.SQLite(t), t.TempDir()
	var file string
	if err := db.Write.QueryRowContext(t.Context(), `SELECT file FROM pragma_database_list WHERE name = 'main'`).Scan(&file); err != nil {
		t.Fatal(err)
	}
	q, _ := newQueue(t, db, newServices(), nil)
	var mu sync.Mutex
	var accepted []string
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				job, _, err := q.Submit(t.Context(), jobs.Submission{Owner: "alice", Service: "double", Input: []byte(`{"n":1}`)})
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				accepted = append(accepted, job.ID)
				mu.Unlock()
			}
		})
	}
	before := func() []string {
		mu.Lock()
		defer mu.Unlock()
		return append([]string(nil), accepted...)
	}
	jobstest.Until(t, "50 jobs", func() bool { return len(before()) >= 50 })
	want := before()
	err := store.Backup(t.Context(), filepath.Dir(file), dir)
	close(stop)
	wg.Wait()
	if err != nil {
		t.Fatal(err)
	}
	if len(before()) == len(want) {
		t.Error("nothing was accepted meanwhile")
	}
	backup, err := store.OpenSQLite(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer backup.Close()
	var state string
	if err := backup.Write.QueryRowContext(t.Context(), `PRAGMA integrity_check`).Scan(&state); err != nil || state != "ok" {
		t.Errorf("integrity: %s, %v", state, err)
	}
	for _, id := range want {
		var found int
		if err := backup.Write.QueryRowContext(t.Context(), `SELECT count(*) FROM jobs WHERE id = $1`, id).Scan(&found); err != nil || found != 1 {
			t.Fatalf("job %s: %d, %v", id, found, err)
		}
	}
	if err := store.Backup(t.Context(), filepath.Dir(file), dir); err == nil {
		t.Error("a backup took the place of another")
	}
}
