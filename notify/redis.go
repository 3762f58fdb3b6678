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
	// answerTimeout is how long others wait for an answer.
	answerTimeout = time.Second
	// retryDelay is the wait before Redis is tried again.
	retryDelay = 500 * time.Millisecond
)

// redisFeed keeps logs in Redis streams and tells of them by pub/sub, to all
// processes.
type redisFeed struct {
	hub    *Hub
	client *redis.Client
	prefix string

	outbox  outbox
	refused atomic.Bool  // Redis did not take the last events
	cut     atomic.Bool  // the subscribed connection is down
	back    atomic.Int64 // when it no longer was, in nanoseconds since 1970

	mu      sync.Mutex
	wanted  map[string]uint64   // topics to subscribe to, each with the number of its newest request
	changed map[string]struct{} // topics that were requested or given up since the connection's last round
	asked   uint64              // requests so far
	nudge   chan struct{}       // wanted has changed

	cancel context.CancelFunc
	wg     sync.WaitGroup
}

// NewRedisHub returns a hub that shares events with all processes through the
// Redis at the address, a URL; with "?master_name=", it is of Sentinels, who know where
// that master is. All its keys begin with the prefix. Redis need not be there
// yet: until it is, the hub is degraded. A Redis Cluster of several nodes is refused.
func NewRedisHub(address, prefix string, logger *slog.Logger) (*Hub, error) {
	client, err := newRedisClient(address)
	if err != nil {
		return nil, errors.New("redis_url is not a Redis URL") // the cause may quote the password
	}
	quietRedis()
	check, stop := context.WithTimeout(context.Background(), answerTimeout)
	defer stop()
	if err := checkNoCluster(check, client); errors.Is(err, errCluster) {
		return nil, errors.Join(err, client.Close())
	}
	h := newHub(logger)
	h.late = publishTimeout + retryDelay + publishTimeout // in vain, and once more from the outbox
	f := &redisFeed{hub: h, client: client, prefix: prefix, wanted: make(map[string]uint64), changed: make(map[string]struct{}), nudge: make(chan struct{}, 1)}
	f.outbox.filled = make(chan struct{}, 1)
	h.feed = f
	var ctx context.Context
	ctx, f.cancel = context.WithCancel(context.Background())
	f.wg.Go(func() { f.listen(ctx) })
	f.wg.Go(func() { f.outbox.empty(ctx, f.send) })
	f.wg.Go(func() { f.probe(ctx) })
	return h, nil
}

// errCluster says what to do about a Redis Cluster, which has each topic on a node
// of its own and answers the others with MOVED.
var errCluster = errors.New("redis_url is a Redis Cluster of several nodes, which can't be used: name a single Redis, or Sentinels with ?master_name=")

// checkNoCluster asks Redis how it runs (HELLO, since version 6). A cluster of one
// node is like a single Redis. Error: errCluster, or any other if it does not tell.
func checkNoCluster(ctx context.Context, client *redis.Client) error {
	answer, err := client.Do(ctx, "HELLO").Result()
	if err != nil {
		return fmt.Errorf("ask Redis for its mode: %w", err)
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
	slots, err := client.ClusterSlots(ctx).Result() //nolint:staticcheck // what takes its place needs Redis 7
	if err != nil {
		return fmt.Errorf("ask Redis for its cluster: %w", err)
	}
	for _, s := range slots {
		if len(s.Nodes) > 0 && len(slots[0].Nodes) > 0 && s.Nodes[0].ID != slots[0].Nodes[0].ID {
			return errCluster
		}
	}
	return nil
}

// quietRedis keeps go-redis from writing to standard error past the log: that
// Redis is away, and back, the hub says itself. The logger is go-redis's own
// global, and the same for all.
var quietRedis = sync.OnceFunc(func() { redis.SetLogger(silence{}) })

type silence struct{}

func (silence) Printf(context.Context, string, ...any) {}

// newRedisClient returns a client that waits for nothing long and tries nothing
// again by itself.
func newRedisClient(address string) (*redis.Client, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	query := u.Query()
	for name, value := range map[string]string{
		"max_retries": "-1", "dial_timeout": publishTimeout.String(), "read_timeout": answerTimeout.String(), "write_timeout": answerTimeout.String(),
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
		f.asked++
		f.wanted[topic] = f.asked
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
	case f.nudge <- struct{}{}:
	default:
	}
}

// degraded is true for a while longer than Redis is away, so that what was
// lost then is looked for.
func (f *redisFeed) degraded() bool {
	return f.cut.Load() || f.outbox.away() || time.Now().UnixNano()-f.back.Load() < afterwards.Nanoseconds()
}

func (f *redisFeed) close() {
	f.cancel()
	f.wg.Wait()
	f.client.Close()
}
