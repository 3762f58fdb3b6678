package notify

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// publishTimeout is how long a publisher waits for Redis.
	publishTimeout = 200 * time.Millisecond
	// responseTimeout is the timeout of other commands.
	responseTimeout = time.Second
	// retryDelay is the delay before Redis is tried again.
	retryDelay = 500 * time.Millisecond
)

// redisFeed stores logs in Redis streams and distributes events to all processes with pub/sub.
type redisFeed struct {
	hub    *Hub
	client *redis.Client
	prefix string

	outbox       outbox
	refused      atomic.Bool  // Redis did not accept the last events
	disconnected atomic.Bool  // the subscribed connection is down
	recovered    atomic.Int64 // when that connection recovered, in nanoseconds since 1970

	mu            sync.Mutex          // guards wanted, changed and asked
	wanted        map[string]uint64   // topics to subscribe to, with the numbers of their newest requests
	changed       map[string]struct{} // topics that were requested or given up since the last round of reconcile
	requests      uint64              // number of requests so far
	wantedChanged chan struct{}       // signals that wanted has changed

	cancel context.CancelFunc
	wg     sync.WaitGroup
}

// NewRedisHub returns a hub that shares events with all processes through the Redis at address, a
// URL. With "?master_name=", the URL is that of Sentinels, which know the address of that master.
// All keys begin with prefix. Redis may be unavailable at first; the hub is degraded until it is
// reachable. A Redis Cluster of several nodes is rejected.
func NewRedisHub(address, prefix string, logger *slog.Logger) (*Hub, error) {
	client, err := newRedisClient(address)
	if err != nil {
		return nil, errors.New("redis_url is not a Redis URL") // the cause may quote the password
	}
	quietRedis()
	check, stop := context.WithTimeout(context.Background(), responseTimeout)
	defer stop()
	if err := checkNoCluster(check, client); errors.Is(err, errCluster) {
		return nil, errors.Join(err, client.Close())
	}
	h := newHub(logger)
	h.maxLag = publishTimeout + retryDelay + publishTimeout // one failed attempt and one retry from the outbox
	f := &redisFeed{
		hub: h, client: client, prefix: prefix, wanted: make(map[string]uint64), changed: make(map[string]struct{}),
		wantedChanged: make(chan struct{}, 1),
	}
	f.outbox.filled = make(chan struct{}, 1)
	h.feed = f
	var ctx context.Context
	ctx, f.cancel = context.WithCancel(context.Background())
	f.wg.Go(func() { f.listen(ctx) })
	f.wg.Go(func() { f.outbox.run(ctx, f.send) })
	f.wg.Go(func() { f.probe(ctx) })
	return h, nil
}

// errCluster is the error for a Redis Cluster. It stores each topic on one of its nodes; the others
// respond with MOVED.
var errCluster = errors.New("redis_url is a Redis Cluster of several nodes, which is not supported: use a single Redis, or Sentinels with ?master_name=")

// checkNoCluster asks Redis for its mode (HELLO, since version 6). A cluster of one node is like a
// single Redis. Error: errCluster, or another error if the mode is unknown.
func checkNoCluster(ctx context.Context, client *redis.Client) error {
	answer, err := client.Do(ctx, "HELLO").Result()
	if err != nil {
		return fmt.Errorf("read the mode of Redis: %w", err)
	}
	fields, ok := answer.(map[any]any)
	if pairs, list := answer.([]any); list { // RESP2
		fields, ok = make(map[any]any), true
		for i := 0; i+1 < len(pairs); i += 2 {
			fields[pairs[i]] = pairs[i+1]
		}
	}
	if !ok || fields["mode"] != "cluster" {
		return nil
	}
	slots, err := client.ClusterSlots(ctx).Result() //nolint:staticcheck // its replacement requires Redis 7
	if err != nil {
		return fmt.Errorf("read the Redis cluster: %w", err)
	}
	for _, s := range slots {
		if len(s.Nodes) > 0 && len(slots[0].Nodes) > 0 && s.Nodes[0].ID != slots[0].Nodes[0].ID {
			return errCluster
		}
	}
	return nil
}

// quietRedis keeps go-redis from writing to standard error: the hub itself logs outages of Redis.
// go-redis has one global logger for all clients.
var quietRedis = sync.OnceFunc(func() { redis.SetLogger(noopLogger{}) })

type noopLogger struct{}

func (noopLogger) Printf(context.Context, string, ...any) {}

// newRedisClient returns a client with short timeouts and without retries.
func newRedisClient(address string) (*redis.Client, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	query := u.Query()
	for name, value := range map[string]string{
		"max_retries": "-1", "dial_timeout": publishTimeout.String(), "read_timeout": responseTimeout.String(),
		"write_timeout": responseTimeout.String(),
	} {
		query.Set(name, value)
	}
	u.RawQuery = query.Encode()
	if query.Has("master_name") {
		options, err := redis.ParseFailoverURL(u.String())
		if err != nil {
			return nil, err
		}
		options.ContextTimeoutEnabled = true
		return redis.NewFailoverClient(options), nil
	}
	options, err := redis.ParseURL(u.String())
	if err != nil {
		return nil, err
	}
	options.ContextTimeoutEnabled = true
	return redis.NewClient(options), nil
}

func (f *redisFeed) log(topic string) string     { return f.prefix + ":{" + topic + "}:log" }
func (f *redisFeed) channel(topic string) string { return f.prefix + ":{" + topic + "}:events" }

// topic returns the topic of a channel.
func (f *redisFeed) topic(channel string) string {
	return strings.TrimSuffix(strings.TrimPrefix(channel, f.prefix+":{"), "}:events")
}

func (f *redisFeed) read(ctx context.Context, topic string, after ID) ([]Event, error) {
	entries, err := f.client.XRangeN(ctx, f.log(topic), "("+after.String(), "+", 2*logEvents).Result()
	if err != nil {
		return nil, fmt.Errorf("read log: %w", err)
	}
	events := make([]Event, 0, len(entries))
	for _, entry := range entries {
		text := func(field string) string { s, _ := entry.Values[field].(string); return s }
		if e, err := parseEvent(entry.ID, text("p"), text("n"), text("d")); err == nil {
			events = append(events, e)
		}
	}
	return events, nil
}

func parseEvent(id, prev, name, data string) (e Event, err error) {
	if e.ID, err = ParseID(id); err != nil {
		return e, err
	}
	e.Prev, err = ParseID(prev)
	e.Name, e.Data = name, []byte(data)
	return e, err
}

func (f *redisFeed) watch(topic string) bool {
	f.want(topic, func() {
		f.requests++
		f.wanted[topic] = f.requests
	})
	return false
}

func (f *redisFeed) unwatch(topic string) {
	f.want(topic, func() { delete(f.wanted, topic) })
}

func (f *redisFeed) want(topic string, change func()) {
	f.mu.Lock()
	change()
	f.changed[topic] = struct{}{}
	f.mu.Unlock()
	select {
	case f.wantedChanged <- struct{}{}:
	default:
	}
}

// degraded remains true for a while after Redis has recovered, so that events that were lost
// meanwhile are detected.
func (f *redisFeed) degraded() bool {
	return f.disconnected.Load() || f.outbox.unavailable() || time.Now().UnixNano()-f.recovered.Load() < recoveryTime.Nanoseconds()
}

func (f *redisFeed) close() {
	f.cancel()
	f.wg.Wait()
	f.client.Close()
}
