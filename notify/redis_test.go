package notify_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"coatcheck/jobs/jobstest"
	"coatcheck/notify"
)

// A viewer whose hub loses Redis for a while misses nothing.
func TestRedisAway(t *testing.T) {
	redisURL, prefix := jobstest.RedisURL(t), "test-"+rand.Text()
	u, err := url.Parse(redisURL)
	if err != nil {
		t.Fatal(err)
	}
	p := jobstest.NewProxy(t, u.Host)
	u.Host = p.Addr
	publisher, hub := redisHub(t, redisURL, prefix), redisHub(t, u.String(), prefix)
	s := subscribe(t, hub, "job")
	defer s.Close()
	s.Start(id(1, 0))
	publish(t, publisher, 1)
	take(t, s, 1)
	p.Set(jobstest.Reset)
	publish(t, publisher, 2)
	for !hub.Degraded() {
		time.Sleep(time.Millisecond)
	}
	// What comes from behind the cut is late, but not lost.
	if err := hub.Publish("job", notify.Event{ID: id(1, 3), Prev: id(1, 2), Name: "x", Data: []byte("{}")}); err == nil {
		t.Error("published to a Redis that is away")
	}
	p.Set(jobstest.None)
	if got, gap := take(t, s, 3); gap || fmt.Sprint(got) != "[2 3]" {
		t.Errorf("after the return: %v, gap %t", got, gap)
	}
	for hub.Degraded() {
		time.Sleep(time.Millisecond)
	}
}

// A topic whose last viewer leaves just when another comes is alive.
func TestTopicSurvivesViewerTurnover(t *testing.T) {
	t.Parallel()
	redisURL, prefix := jobstest.RedisURL(t), "test-"+rand.Text()
	publisher, hub := redisHub(t, redisURL, prefix), redisHub(t, redisURL, prefix)
	subscribe(t, hub, "job").Close()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 100 {
				start := time.Now()
				subscribe(t, hub, "job").Close()
				if took := time.Since(start); took > 400*time.Millisecond {
					t.Errorf("subscribing took %s", took)
				}
			}
		})
	}
	wg.Wait()
	s := subscribe(t, hub, "job")
	defer s.Close()
	s.Start(id(1, 0))
	publish(t, publisher, 1)
	if got, gap := take(t, s, 1); gap || fmt.Sprint(got) != "[1]" {
		t.Errorf("%v, gap %t", got, gap)
	}
}

// What is watched is what viewers watch, and nothing when they are gone.
func TestRedisSubscriptionsMatchViewers(t *testing.T) {
	t.Parallel()
	r := jobstest.PrivateRedis(t)
	hub := redisHub(t, "redis://"+r.Addr, "test")
	channels := func(want string) {
		t.Helper()
		for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
			got, err := r.Do("PUBSUB", "CHANNELS", "*")
			if err == nil && got == want {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("subscribed to %s channels, want %s (%v)", got, want, err)
			}
		}
	}
	a, b, again := subscribe(t, hub, "a"), subscribe(t, hub, "b"), subscribe(t, hub, "a")
	channels("*2")
	a.Close()
	channels("*2")
	again.Close()
	b.Close()
	channels("*0")
	if got := hub.Watched(); len(got) > 0 {
		t.Errorf("still watched: %v", got)
	}
}

// A run that lost its job can't speak any more, and the next one goes on with
// higher ids.
func TestStaleRunCannotPublish(t *testing.T) {
	eachHub(t, func(t *testing.T, publisher, hub *notify.Hub) {
		s := subscribe(t, hub, "job")
		defer s.Close()
		s.Start(id(1, 0))
		for _, next := range []struct {
			id, prev notify.ID
			stale    bool
		}{{id: id(2, 1), prev: id(1, 0)}, {id: id(3, 0)}, {id: id(2, 2), prev: id(2, 1), stale: true}, {id: id(3, 1), prev: id(3, 0)}, {id: id(3, 1), stale: true}, {id: id(4, 0), prev: id(3, 1)}} {
			err := publisher.Publish("job", notify.Event{ID: next.id, Prev: next.prev, Name: "x", Data: []byte("{}")})
			if errors.Is(err, notify.ErrStale) != next.stale || err != nil && !next.stale {
				t.Errorf("publish %s: %v", next.id, err)
			}
		}
		var got []notify.ID
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		for len(got) == 0 || got[len(got)-1] != id(4, 0) {
			events, gap, err := s.Next(ctx)
			if gap || err != nil {
				t.Fatalf("after %v: gap %t, %v", got, gap, err)
			}
			for _, e := range events {
				got = append(got, e.ID)
			}
		}
		if fmt.Sprint(got) != "[2-1 3-0 3-1 4-0]" {
			t.Errorf("ids = %v", got)
		}
	})
}

// What is only late to be appended is no gap, and is sent when it comes, not
// when the time to wait for it is over.
func TestBehindWaitsForLateEvent(t *testing.T) {
	eachHub(t, func(t *testing.T, publisher, hub *notify.Hub) {
		hub.SetMaxLag(time.Hour)
		s := subscribe(t, hub, "job")
		defer s.Close()
		s.Start(id(1, 0))
		publish(t, publisher, 1)
		take(t, s, 1)
		hub.Behind("job", id(1, 3)) // the table was faster
		publish(t, publisher, 2)
		publish(t, publisher, 3)
		if got, gap := take(t, s, 3); gap || fmt.Sprint(got) != "[2 3]" {
			t.Errorf("%v, gap %t", got, gap)
		}
	})
}

// With a Redis that is not there, nobody waits for long; what is published
// comes when it is there.
func TestStartWithoutRedis(t *testing.T) {
	t.Parallel()
	r := jobstest.PrivateRedis(t)
	r.Kill()
	hub := redisHub(t, "redis://"+r.Addr, "test")
	for n := range uint64(3) {
		start := time.Now()
		s := subscribe(t, hub, "job")
		defer s.Close()
		s.Start(id(1, 0))
		if took := time.Since(start); took > 700*time.Millisecond {
			t.Errorf("subscribing took %s", took)
		}
		start = time.Now()
		if err := hub.Publish("job", notify.Event{ID: id(1, n+1), Prev: id(1, n), Name: "x", Data: []byte("{}")}); err == nil {
			t.Error("published to nowhere")
		}
		if took := time.Since(start); took > 400*time.Millisecond {
			t.Errorf("publishing took %s", took)
		}
		if n == 2 {
			r.Start()
			if got, gap := take(t, s, 3); gap || fmt.Sprint(got) != "[1 2 3]" {
				t.Errorf("%v, gap %t", got, gap)
			}
		}
	}
}

// What has gathered while Redis was away goes to it in few calls: one call for
// each event would take longer than it takes for others to come.
func TestRedisCatchesUpInBatches(t *testing.T) {
	t.Parallel()
	r := jobstest.PrivateRedis(t)
	hub := redisHub(t, "redis://"+r.Addr, "test")
	s := subscribe(t, hub, "job")
	defer s.Close()
	s.Start(id(1, 0))
	r.Kill()
	for n := range uint64(400) {
		for _, topic := range []string{"a", "b", "c", "d", "job"} {
			if err := hub.Publish(topic, notify.Event{ID: id(1, n+1), Prev: id(1, n), Name: "x", Data: []byte("{}")}); err == nil {
				t.Fatal("published to nowhere")
			}
		}
	}
	r.Start()
	if got, gap := take(t, s, 400); gap || len(got) != 400 {
		t.Errorf("got %d events, gap %t", len(got), gap)
	}
	client := redis.NewClient(&redis.Options{Addr: r.Addr})
	defer client.Close()
	info, err := client.Info(t.Context(), "commandstats").Result()
	if err != nil {
		t.Fatal(err)
	}
	calls := 0
	for line := range strings.FieldsSeq(info) {
		var n int
		for _, name := range []string{"eval", "evalsha"} {
			if k, _ := fmt.Sscanf(line, "cmdstat_"+name+":calls=%d,", &n); k == 1 {
				calls += n
			}
		}
	}
	if calls == 0 || calls > 40 {
		t.Errorf("2000 events took %d calls", calls)
	}
}

// After an outage Redis gets the time that a new connection takes over a slow
// network, and large events do not all go to it at once.
func TestRedisBackOverSlowNetwork(t *testing.T) {
	t.Parallel()
	r := jobstest.PrivateRedis(t)
	proxy := jobstest.NewProxy(t, r.Addr)
	publisher, hub := redisHub(t, "redis://"+proxy.Addr, "test"), redisHub(t, "redis://"+r.Addr, "test")
	s := subscribe(t, hub, "job")
	defer s.Close()
	s.Start(id(1, 0))
	publish(t, publisher, 1)
	take(t, s, 1)
	proxy.Set(jobstest.HalfOpen)
	large := []byte(`"` + strings.Repeat("x", 100<<10) + `"`)
	for n := range uint64(10) {
		if err := publisher.Publish("job", notify.Event{ID: id(1, n+2), Prev: id(1, n+1), Name: "x", Data: large}); err == nil {
			t.Fatal("published to nowhere")
		}
	}
	proxy.Set(jobstest.Latency)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for last := (notify.ID{}); last != id(1, 11); {
		events, _, err := s.Next(ctx) // so much shows as a gap
		if err != nil {
			t.Fatal(err)
		}
		if len(events) == 0 {
			last = s.Start(notify.ID{})
			continue
		}
		last = events[len(events)-1].ID
	}
	jobstest.Until(t, "Redis has recovered", func() bool { return !publisher.Degraded() })
}

// A Redis that no longer answers, on connections that stand, is noticed
// within seconds, and nothing is missing when it goes on.
func TestFrozenRedis(t *testing.T) {
	t.Parallel()
	r := jobstest.PrivateRedis(t)
	publisher, hub := redisHub(t, "redis://"+r.Addr, "test"), redisHub(t, "redis://"+r.Addr, "test")
	s := subscribe(t, hub, "job")
	defer s.Close()
	s.Start(id(1, 0))
	publish(t, publisher, 1)
	take(t, s, 1)
	r.Freeze()
	start := time.Now()
	for n := range uint64(10) {
		if err := publisher.Publish("job", notify.Event{ID: id(1, n+2), Prev: id(1, n+1), Name: "x", Data: []byte("{}")}); err == nil {
			t.Error("published to a frozen Redis")
		}
	}
	if took := time.Since(start); took > time.Second {
		t.Errorf("ten events took their publisher %s", took)
	}
	for !hub.Degraded() {
		time.Sleep(time.Millisecond)
	}
	if took := time.Since(start); took > 6*time.Second {
		t.Errorf("noticed after %s", took)
	}
	r.Thaw()
	thawed := time.Now()
	if got, gap := take(t, s, 11); gap || fmt.Sprint(got) != "[2 3 4 5 6 7 8 9 10 11]" {
		t.Errorf("%v, gap %t", got, gap)
	}
	if took := time.Since(thawed); took > 3*time.Second {
		t.Errorf("caught up after %s", took)
	}
}

// A Redis that lost everything shows as no gap to those who saw everything,
// and as one to those who did not.
func TestRestartedRedisWithoutData(t *testing.T) {
	t.Parallel()
	r := jobstest.PrivateRedis(t)
	publisher, hub := redisHub(t, "redis://"+r.Addr, "test"), redisHub(t, "redis://"+r.Addr, "test")
	s := subscribe(t, hub, "job")
	defer s.Close()
	s.Start(id(1, 0))
	publish(t, publisher, 1)
	take(t, s, 1)
	if _, err := r.Do("FLUSHALL"); err != nil {
		t.Fatal(err)
	}
	publish(t, publisher, 2)
	if got, gap := take(t, s, 2); gap || fmt.Sprint(got) != "[2]" {
		t.Errorf("%v, gap %t", got, gap)
	}
	late := subscribe(t, redisHub(t, "redis://"+r.Addr, "test"), "job")
	defer late.Close()
	if late.Resume(id(1, 0)) {
		t.Error("resumed after what is lost")
	}
	if !late.Resume(id(1, 1)) {
		t.Error("can't resume although all that follows is there")
	}
}

// What Redis refuses only for now waits until it is taken.
func TestRedisTemporarilyRefusesEvents(t *testing.T) {
	t.Parallel()
	for name, set := range map[string]struct{ trouble, mend []string }{
		"out of memory":      {[]string{"CONFIG", "SET", "maxmemory", "1"}, []string{"CONFIG", "SET", "maxmemory", "0"}},
		"too few replicas":   {[]string{"CONFIG", "SET", "min-replicas-to-write", "1"}, []string{"CONFIG", "SET", "min-replicas-to-write", "0"}},
		"no permission":      {[]string{"ACL", "SETUSER", "default", "-@scripting"}, []string{"ACL", "SETUSER", "default", "+@scripting"}},
		"no longer a master": {[]string{"REPLICAOF", "127.0.0.1", "1"}, []string{"REPLICAOF", "NO", "ONE"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := jobstest.PrivateRedis(t)
			hub := redisHub(t, "redis://"+r.Addr, "test")
			s := subscribe(t, hub, "job")
			defer s.Close()
			s.Start(id(1, 0))
			publish(t, hub, 1)
			take(t, s, 1)
			if answer, err := r.Do(set.trouble...); err != nil || answer != "+OK" {
				t.Fatal(answer, err)
			}
			if err := hub.Publish("job", notify.Event{ID: id(1, 2), Prev: id(1, 1), Name: "x", Data: []byte("{}")}); err == nil || errors.Is(err, notify.ErrStale) {
				t.Fatalf("published to a Redis that takes nothing: %v", err)
			}
			if !hub.Degraded() {
				t.Error("not degraded")
			}
			if answer, err := r.Do(set.mend...); err != nil || answer != "+OK" {
				t.Fatal(answer, err)
			}
			if got, gap := take(t, s, 2); gap || fmt.Sprint(got) != "[2]" {
				t.Errorf("%v, gap %t", got, gap)
			}
			jobstest.Until(t, "Redis takes events", func() bool { return !hub.Degraded() })
		})
	}
}

// A Redis that starts to ask for a password loses no events, and its failure is seen; so is the
// end of it, also by a process without events.
func TestRedisAsksForPassword(t *testing.T) {
	t.Parallel()
	r := jobstest.PrivateRedis(t)
	busy, idle := redisHub(t, "redis://"+r.Addr, "test"), redisHub(t, "redis://"+r.Addr, "test")
	s := subscribe(t, busy, "job")
	defer s.Close()
	s.Start(id(1, 0))
	publish(t, busy, 1)
	take(t, s, 1)
	if answer, err := r.Do("ACL", "SETUSER", "admin", "on", ">password", "+@all"); err != nil || answer != "+OK" {
		t.Fatal(answer, err)
	}
	admin := redis.NewClient(&redis.Options{Addr: r.Addr, Username: "admin", Password: "password"})
	defer admin.Close()
	command := func(args ...any) {
		t.Helper()
		if err := admin.Do(t.Context(), args...).Err(); err != nil {
			t.Fatal(args, err)
		}
	}
	command("CONFIG", "SET", "requirepass", "secret")
	command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
	command("CLIENT", "KILL", "TYPE", "pubsub")
	for n := uint64(2); n <= 5; n++ {
		err := busy.Publish("job", notify.Event{ID: id(1, n), Prev: id(1, n-1), Name: "x", Data: []byte("{}")})
		if err == nil || errors.Is(err, notify.ErrStale) {
			t.Fatalf("event %d published without the password: %v", n, err)
		}
		if !busy.Degraded() {
			t.Errorf("not degraded after event %d", n)
		}
	}
	jobstest.Until(t, "degraded hub without events", idle.Degraded)
	command("CONFIG", "SET", "requirepass", "")
	if got, gap := take(t, s, 5); gap || fmt.Sprint(got) != "[2 3 4 5]" {
		t.Errorf("got %v, gap %t", got, gap)
	}
	jobstest.Until(t, "recovered hubs", func() bool { return !busy.Degraded() && !idle.Degraded() })
}

// A process without viewers and events finds out that Redis can't be used.
func TestIdleHubDetectsRedisOutage(t *testing.T) {
	t.Parallel()
	r := jobstest.PrivateRedis(t)
	hub := redisHub(t, "redis://"+r.Addr, "test")
	if answer, err := r.Do("ACL", "SETUSER", "default", "-@scripting"); err != nil || answer != "+OK" {
		t.Fatal(answer, err)
	}
	jobstest.Until(t, "degraded hub", hub.Degraded)
	if answer, err := r.Do("ACL", "SETUSER", "default", "+@scripting"); err != nil || answer != "+OK" {
		t.Fatal(answer, err)
	}
	jobstest.Until(t, "hub that is well again", func() bool { return !hub.Degraded() })
}

func TestRedisClusterIsRefused(t *testing.T) {
	t.Parallel()
	var nodes []*jobstest.Server
	for _, slots := range [][]string{{"0", "8191"}, {"8192", "16383"}} {
		_, bus, _ := net.SplitHostPort(jobstest.FreeAddr(t))
		r := jobstest.PrivateRedis(t, "--cluster-enabled", "yes", "--cluster-port", bus)
		if _, err := r.Do("CLUSTER", "ADDSLOTSRANGE", slots[0], slots[1]); err != nil {
			t.Fatal(err)
		}
		nodes = append(nodes, r)
		if host, port, _ := net.SplitHostPort(r.Addr); len(nodes) > 1 {
			if _, err := nodes[0].Do("CLUSTER", "MEET", host, port, bus); err != nil {
				t.Fatal(err)
			}
		}
	}
	jobstest.Until(t, "refusal", func() bool {
		hub, err := notify.NewRedisHub("redis://"+nodes[0].Addr, "test", discard)
		if err == nil {
			hub.Close()
		}
		return err != nil && strings.Contains(err.Error(), "Cluster")
	})
}

// A message of somebody else's on our channel does no harm.
func TestMalformedRedisMessageIsIgnored(t *testing.T) {
	t.Parallel()
	r := jobstest.PrivateRedis(t)
	hub := redisHub(t, "redis://"+r.Addr, "test")
	s := subscribe(t, hub, "job")
	defer s.Close()
	s.Start(id(1, 0))
	client := redis.NewClient(&redis.Options{Addr: r.Addr})
	defer client.Close()
	channels, err := client.PubSubChannels(t.Context(), "*").Result()
	if err != nil || len(channels) != 1 {
		t.Fatal(channels, err)
	}
	publish(t, hub, 1)
	take(t, s, 1)
	for _, message := range []string{"", "hello", "1-2", "1-2 1-1", "1-2 1-1 x", "1-2 1-1 x ", "two 1-1 x {}", "1-2 one x {}"} {
		if _, err := r.Do("PUBLISH", channels[0], message); err != nil {
			t.Fatal(err)
		}
	}
	publish(t, hub, 2)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	events, gap, err := s.Next(ctx)
	if gap || err != nil || len(events) != 1 || events[0].ID != id(1, 2) || string(events[0].Data) != `{"n":2}` {
		t.Errorf("%+v, gap %t, %v", events, gap, err)
	}
}

// What Redis refuses for good is not tried for ever, and stops nobody else.
func TestRefusedEvent(t *testing.T) {
	t.Parallel()
	r := jobstest.PrivateRedis(t)
	hub := redisHub(t, "redis://"+r.Addr, "test")
	if _, err := r.Do("SET", "test:{bad}:log", "no stream"); err != nil {
		t.Fatal(err)
	}
	if err := hub.Publish("bad", notify.Event{ID: id(1, 1), Name: "x", Data: []byte("{}")}); err == nil {
		t.Error("no error")
	}
	publish(t, hub, 1)
	if hub.Degraded() {
		t.Error("degraded")
	}
}

// When Redis refuses a batch as a whole, as one in cluster mode does whose
// topics lie in several slots, each event is tried by itself.
func TestRefusedBatch(t *testing.T) {
	t.Parallel()
	_, bus, _ := net.SplitHostPort(jobstest.FreeAddr(t))
	r := jobstest.PrivateRedis(t, "--cluster-enabled", "yes", "--cluster-port", bus)
	if _, err := r.Do("CLUSTER", "ADDSLOTSRANGE", "0", "16383"); err != nil {
		t.Fatal(err)
	}
	hub := redisHub(t, "redis://"+r.Addr, "test")
	tries := uint64(0)
	jobstest.Until(t, "cluster", func() bool {
		tries++
		return hub.Publish("first", notify.Event{ID: id(tries, 1), Name: "x", Data: []byte("{}")}) == nil
	})
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for n := range uint64(100) {
				if err := hub.Publish(fmt.Sprint("job", i), notify.Event{ID: id(1, n+1), Prev: id(1, n), Name: "x", Data: []byte("{}")}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

// The master dies; the Sentinel makes its replica the master, and events go on
// over that.
func TestRedisSentinel(t *testing.T) {
	t.Parallel()
	master := jobstest.PrivateRedis(t)
	host, port, _ := net.SplitHostPort(master.Addr)
	jobstest.PrivateRedis(t, "--replicaof", host+" "+port)
	config := filepath.Join(t.TempDir(), "sentinel.conf")
	text := fmt.Sprintf("sentinel monitor mymaster %s %s 1\nsentinel down-after-milliseconds mymaster 500\nsentinel failover-timeout mymaster 2000\n", host, port)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	sentinel := jobstest.PrivateRedis(t, config, "--sentinel")
	jobstest.Until(t, "replica that the Sentinel knows", func() bool {
		line, err := sentinel.Do("SENTINEL", "REPLICAS", "mymaster")
		return err == nil && line == "*1"
	})
	address := "redis://" + sentinel.Addr + "?master_name=mymaster"
	publisher, hub := redisHub(t, address, "test"), redisHub(t, address, "test")
	s := subscribe(t, hub, "job")
	defer s.Close()
	s.Start(id(1, 0))
	publish(t, publisher, 1)
	take(t, s, 1)
	master.Kill()
	jobstest.Until(t, "new master that takes events", func() bool {
		err := publisher.Publish("job", notify.Event{ID: id(1, 2), Prev: id(1, 1), Name: "x", Data: []byte("{}")})
		return err == nil || errors.Is(err, notify.ErrStale) // stale: it was sent when the new master came
	})
	if got, gap := take(t, s, 2); gap || fmt.Sprint(got) != "[2]" {
		t.Errorf("after the failover: %v, gap %t", got, gap)
	}
}
