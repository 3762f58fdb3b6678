//go:build unix

package main

import (
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"coatcheck/jobs"
	"coatcheck/jobs/jobstest"
	"coatcheck/notify"
)

// tortureTime is how long servers are tortured: TORTURE, or else a little.
func tortureTime(t *testing.T) time.Duration {
	t.Helper()
	text := os.Getenv("TORTURE")
	if text == "" {
		if testing.Short() {
			t.Skip("torture takes a while")
		}
		return 5 * time.Second
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatalf("TORTURE: %v", err)
	}
	return d
}

// audit makes a database write down each new version of a job.
const (
	auditTable    = `CREATE TABLE audit (seq %s, job TEXT NOT NULL, version BIGINT NOT NULL, status TEXT NOT NULL, run TEXT, error TEXT)`
	auditColumns  = `INSERT INTO audit (job, version, status, run, error) VALUES (NEW.id, NEW.version, NEW.status, NEW.run_id, NEW.error)`
	auditPostgres = `CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN ` + auditColumns + `; RETURN NULL; END $$;
		CREATE TRIGGER audit_insert AFTER INSERT ON jobs FOR EACH ROW EXECUTE FUNCTION audit();
		CREATE TRIGGER audit_update AFTER UPDATE ON jobs FOR EACH ROW WHEN (OLD.version <> NEW.version OR OLD.run_id IS DISTINCT FROM NEW.run_id OR OLD.status <> NEW.status) EXECUTE FUNCTION audit();`
	auditSQLite = `CREATE TRIGGER audit_insert AFTER INSERT ON jobs BEGIN ` + auditColumns + `; END;
		CREATE TRIGGER audit_update AFTER UPDATE ON jobs WHEN OLD.version <> NEW.version OR OLD.run_id IS NOT NEW.run_id OR OLD.status <> NEW.status BEGIN ` + auditColumns + `; END;`
)

// Two processes serve and three run jobs, while everything is done to them
// and theirs, and clients keep a ledger.
func TestTortureScaledOut(t *testing.T) {
	t.Parallel()
	tortureScaledOut(t, []string{"serve", "serve", "worker", "worker", "worker"}, func(c *chaos, ctx context.Context) {
		var harms sync.WaitGroup
		harms.Go(func() { c.hurt(ctx) })
		harms.Go(func() { c.starve(ctx) })
		harms.Wait()
	})
}

// PostgreSQL crashes again and again, and loses each time what it has not written:
// the commits of connections with synchronous_commit=off.
func TestTorturePowerCut(t *testing.T) {
	t.Parallel()
	tortureScaledOut(t, []string{"serve", "worker"}, (*chaos).cutPower)
}

// tortureScaledOut harms processes that share PostgreSQL and Redis, one for each
// command.
func tortureScaledOut(t *testing.T, commands []string, harm func(*chaos, context.Context)) {
	duration := tortureTime(t)
	postgres, redis := jobstest.PrivatePostgres(t), jobstest.PrivateRedis(t)
	dir := t.TempDir()
	effects := filepath.Join(dir, "effects")
	if err := os.Mkdir(effects, 0o700); err != nil {
		t.Fatal(err)
	}
	direct := "postgres://postgres@" + postgres.Addr + "/postgres"
	env := []string{"SECRET_KEY=" + rand.Text() + rand.Text(), "CONFIG_FILENAME=" + tortureConfig(t, dir), "TORTURE_EFFECTS=" + effects}
	migrate := exec.Command("torture", "migrate", "up")
	migrate.Env = append(append(os.Environ(), env...), "DATABASE_URL="+direct)
	if out, err := migrate.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	db, err := sql.Open("pgx", direct)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, stmt := range []string{fmt.Sprintf(auditTable, "BIGSERIAL"), auditPostgres} {
		if _, err := db.ExecContext(t.Context(), stmt); err != nil {
			t.Fatal(err)
		}
	}
	l := newLedger(t)
	c := &clients{ledger: l, http: &http.Client{}}
	torturers := &chaos{ledger: l, postgres: postgres, redis: redis}
	for i, command := range commands {
		pg, r := jobstest.NewProxy(t, postgres.Addr), jobstest.NewProxy(t, redis.Addr)
		env := append(slices.Clone(env), "DATABASE_URL=postgres://postgres@"+pg.Addr+"/postgres", "REDIS_URL=redis://"+r.Addr)
		args := []string{command}
		if command == "serve" {
			addr := jobstest.FreeAddr(t)
			c.servers = append(c.servers, "http://"+addr)
			args = append(args, "--no-worker", "--addr", addr)
		}
		v := newVictim(t, dir, fmt.Sprint(command, i), env, args...)
		v.postgres, v.redis = pg, r
		torturers.victims = append(torturers.victims, v)
	}
	c.torment(t, torturers, duration, harm)
	c.check(t, db, effects)
}

// The same in one process with its own database, which is killed and frozen.
func TestTortureEmbedded(t *testing.T) {
	t.Parallel()
	duration := tortureTime(t)
	dir := t.TempDir()
	effects, data := filepath.Join(dir, "effects"), filepath.Join(dir, "data")
	if err := os.Mkdir(effects, 0o700); err != nil {
		t.Fatal(err)
	}
	addr := jobstest.FreeAddr(t)
	env := []string{"CONFIG_FILENAME=" + tortureConfig(t, dir), "TORTURE_EFFECTS=" + effects, "DATA_DIR=" + data, "ADDR=" + addr}
	migrate := exec.Command("torture", "migrate", "up")
	migrate.Env = append(os.Environ(), env...)
	if out, err := migrate.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	db, err := sql.Open("sqlite", "file:"+filepath.Join(data, "coatcheck.db")+"?_pragma=busy_timeout(10000)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, stmt := range []string{fmt.Sprintf(auditTable, "INTEGER PRIMARY KEY"), auditSQLite} {
		if _, err := db.ExecContext(t.Context(), stmt); err != nil {
			t.Fatal(err)
		}
	}
	l := newLedger(t)
	c := &clients{ledger: l, http: &http.Client{}, servers: []string{"http://" + addr}}
	torturers := &chaos{ledger: l, victims: []*victim{newVictim(t, dir, "serve", env, "serve")}}
	c.torment(t, torturers, duration, (*chaos).hurt)
	c.check(t, db, effects)
}

// torment lets clients and torturers live together for a while, then heals
// all, and waits until every job has ended and every callback has come.
func (c *clients) torment(t *testing.T, torturers *chaos, duration time.Duration, harm func(*chaos, context.Context)) {
	receiver := httptest.NewServer(c)
	t.Cleanup(receiver.Close)
	c.receiver = receiver.URL
	for _, v := range torturers.victims {
		v.start()
	}
	torturers.heal(c.servers)
	ctx, cancel := context.WithTimeout(t.Context(), duration)
	defer cancel()
	last, stop := context.WithTimeout(t.Context(), duration+3*time.Minute)
	defer stop()
	var torture, life, viewers sync.WaitGroup
	torture.Go(func() { harm(torturers, ctx) })
	for range 8 {
		life.Go(func() { c.live(ctx) })
	}
	for range 6 {
		viewers.Go(func() { c.watch(ctx, last) })
	}
	torture.Wait()
	life.Wait()
	torturers.heal(c.servers)
	healed := time.Now()
	for _, e := range c.entries {
		if e.open() {
			c.insist(last, e) // the client has no answer yet
		}
		for e.accepted() && last.Err() == nil && !c.poll(last, e) {
			pause(last, 20*time.Millisecond)
		}
	}
	viewers.Wait()
	t.Logf("all jobs had ended %v after the torture", time.Since(healed).Round(time.Millisecond))
	if last.Err() != nil {
		t.Error("not all jobs have ended, or not all viewers have seen it")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	var counts []string
	for what, n := range c.counts {
		counts = append(counts, fmt.Sprintf("%s: %d", what, n))
	}
	slices.Sort(counts)
	t.Log(strings.Join(counts, ", "))
}

// A history is what became of one job, by the database's own audit.
type history []episode

// An episode is one version of a job: it has a status, and a run while it runs.
type episode struct {
	status jobs.Status
	run    string
}

// check compares the ledger with the database, the traces and the callbacks.
func (c *clients) check(t *testing.T, db *sql.DB, effects string) {
	// Callbacks come last. Those that were under way in a process that was
	// killed are sent again after a while.
	var waiting int
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(200 * time.Millisecond) {
		if err := db.QueryRowContext(t.Context(), `SELECT count(*) FROM deliveries WHERE status = 'pending'`).Scan(&waiting); err != nil {
			t.Fatal(err)
		}
		if waiting == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Errorf("%d callbacks were not delivered", waiting)
			break
		}
	}
	var left int
	if err := db.QueryRowContext(t.Context(), `SELECT count(*) FROM jobs WHERE status IN ('scheduled', 'queued', 'running', 'retrying')`).Scan(&left); err != nil || left > 0 {
		t.Errorf("%d jobs are left, %v", left, err)
	}
	histories, owner := c.histories(t, db)
	told := make(map[string][]notify.ID)
	c.mu.Lock()
	callbacks := maps.Clone(c.callbacks) // one that was sent twice may still come
	c.mu.Unlock()
	for id, callback := range callbacks {
		h := histories[callback.job]
		if v := int(callback.event.Version); v > len(h) || h[v-1].status != callback.status {
			t.Errorf("callback %s of %s says %v, and the history is %v", id, callback.job, callback.observation, h)
		}
		told[callback.job] = append(told[callback.job], callback.event)
	}
	for id, e := range c.byID {
		h := histories[id]
		if h == nil {
			t.Errorf("job %s was accepted and is lost", id)
			continue
		}
		var ends []notify.ID
		for i, s := range h {
			if s.status.Done() {
				ends = append(ends, notify.ID{Version: uint64(i + 1)})
			}
		}
		if len(ends) > 1 {
			t.Errorf("job %s ended %d times: %v", id, len(ends), h)
		}
		for _, end := range e.ends {
			if v := int(end.event.Version); v > len(h) || h[v-1].status != end.status {
				t.Errorf("the stream of %s ended with %v, and the history is %v", id, end, h)
			}
		}
		got := told[id]
		slices.SortFunc(got, notify.ID.Compare)
		if e.callback && !slices.Equal(got, ends) {
			t.Errorf("job %s ended at %v and the callbacks told of %v", id, ends, got)
		}
	}
	if len(histories) != len(c.byID) {
		t.Errorf("%d jobs in the database, %d accepted", len(histories), len(c.byID))
	}
	c.checkEffects(t, effects, histories, owner)
}

// histories reads the audit. Versions follow each other, each run holds its
// job once, and what ended stays as it is.
func (c *clients) histories(t *testing.T, db *sql.DB) (histories map[string]history, owner map[string]string) {
	rows, err := db.QueryContext(t.Context(), `SELECT job, version, status, COALESCE(run, ''), COALESCE(error, '') FROM audit ORDER BY job, seq`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	histories, owner = make(map[string]history), make(map[string]string)
	lost := 0
	for rows.Next() {
		var job, run, jobError string
		var number int
		var status jobs.Status
		if err := rows.Scan(&job, &number, &status, &run, &jobError); err != nil {
			t.Fatal(err)
		}
		h := histories[job]
		if number != len(h)+1 {
			t.Errorf("job %s: version %d comes after %d", job, number, len(h))
		}
		if len(h) > 0 && h[len(h)-1].status.Done() {
			t.Errorf("job %s: %s comes after %s", job, status, h[len(h)-1].status)
		}
		if (status == jobs.Running) != (run != "") {
			t.Errorf("job %s: %s in the hands of run %q", job, status, run)
		}
		if run != "" {
			if owner[run] != "" && h[len(h)-1].run != run {
				t.Errorf("job %s: run %s had it twice", job, run)
			}
			owner[run] = job
		}
		if strings.Contains(jobError, "worker_lost") {
			lost++
		}
		histories[job] = append(h, episode{status, run})
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d jobs, %d runs, %d given up because they lost too many workers", len(histories), len(owner), lost)
	return histories, owner
}

// checkEffects compares the traces of services with the audit: each run left
// one, and only a run that had the job.
func (c *clients) checkEffects(t *testing.T, dir string, histories map[string]history, owner map[string]string) {
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	traces := make(map[string]int)
	for _, file := range files {
		b, err := os.ReadFile(filepath.Join(dir, file.Name()))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(b)) {
			job, run, _ := strings.Cut(strings.TrimSpace(line), " ")
			if owner[run] != job {
				t.Errorf("run %s left a trace for %s and never had it", run, job)
			}
			if traces[run]++; traces[run] > 1 {
				t.Errorf("run %s left its trace twice", run)
			}
		}
	}
	for job, h := range histories {
		for i, s := range h {
			if s.status == jobs.Succeeded && traces[h[i-1].run] != 1 {
				t.Errorf("job %s succeeded by a run without a trace: %v", job, h)
			}
		}
	}
}
