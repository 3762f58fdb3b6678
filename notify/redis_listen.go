package notify

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// pingInterval is how often a silent connection is pinged. After three times as long it is
	// considered dead.
	pingInterval = time.Second
	// recoveryTime is how long Redis counts as unavailable after it has recovered. It is longer
	// than the interval at which the table is compared with the viewers' positions during that
	// time.
	recoveryTime = 3 * time.Second
	// subscribeBatch is the maximum number of topics per subscribe command.
	subscribeBatch = 1000
)

// listen maintains one connection that is subscribed to the wanted topics.
func (f *redisFeed) listen(ctx context.Context) {
	select {
	case <-f.wantedChanged: // connect only when there is a viewer
	case <-ctx.Done():
		return
	}
	for {
		err := f.receive(ctx)
		if ctx.Err() != nil {
			return
		}
		if !f.disconnected.Swap(true) {
			f.hub.logger.WarnContext(ctx,
				"Redis is unavailable: viewers are served from the database until it recovers", "err", err)
			continue // perhaps only the connection was cut
		}
		select {
		case <-time.After(retryDelay):
		case <-ctx.Done():
			return
		}
	}
}

// receive processes the messages of one connection until it fails. It does not use go-redis's
// channel, which drops messages, nor its reconnection, which does not detect a half-open
// connection.
func (f *redisFeed) receive(ctx context.Context) error {
	ps := f.client.Subscribe(ctx)
	defer ps.Close()
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	failed := make(chan error, 1)
	wg.Go(func() { failed <- f.reconcile(ctx, ps) })
	lastMessage := time.Now()
	for {
		select {
		case err := <-failed:
			return err
		default:
		}
		msg, err := ps.ReceiveTimeout(ctx, pingInterval)
		if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() && ctx.Err() == nil {
			if time.Since(lastMessage) > 3*pingInterval {
				return errors.New("the connection does not respond")
			}
			if err := ps.Ping(ctx); err != nil {
				return fmt.Errorf("ping: %w", err)
			}
			continue
		}
		if err != nil {
			return fmt.Errorf("receive: %w", err)
		}
		lastMessage = time.Now()
		if f.disconnected.Swap(false) {
			f.recovered.Store(lastMessage.UnixNano())
			f.hub.logger.InfoContext(ctx, "Redis has recovered")
		}
		switch msg := msg.(type) {
		case *redis.Subscription:
			if msg.Kind == "subscribe" {
				f.hub.confirmed(f.topic(msg.Channel))
			}
		case *redis.Message:
			id, rest, _ := strings.Cut(msg.Payload, " ")
			prev, rest, _ := strings.Cut(rest, " ")
			name, data, _ := strings.Cut(rest, " ")
			if e, err := parseEvent(id, prev, name, data); err == nil && data != "" {
				f.hub.received(f.topic(msg.Channel), e)
			}
		}
	}
}

// reconcile makes the connection's subscriptions match the wanted topics. Only this goroutine
// subscribes and unsubscribes, so the commands for a topic stay in order. After the first round, it
// checks only topics that have changed.
func (f *redisFeed) reconcile(ctx context.Context, ps *redis.PubSub) error {
	have := make(map[string]uint64)
	changed := f.allWanted()
	for {
		var begin, end []string
		for topic, asked := range changed {
			before, subscribed := have[topic]
			switch {
			case asked == 0 && subscribed:
				end = append(end, f.channel(topic))
				delete(have, topic)
			case asked != 0 && !subscribed:
				begin = append(begin, f.channel(topic))
				have[topic] = asked
			case asked != before: // the last viewer left and another one joined
				f.hub.confirmed(topic)
				have[topic] = asked
			}
		}
		for batch := range slices.Chunk(begin, subscribeBatch) {
			if err := ps.Subscribe(ctx, batch...); err != nil {
				return fmt.Errorf("subscribe: %w", err)
			}
		}
		for batch := range slices.Chunk(end, subscribeBatch) {
			if err := ps.Unsubscribe(ctx, batch...); err != nil {
				return fmt.Errorf("unsubscribe: %w", err)
			}
		}
		select {
		case <-f.wantedChanged:
		case <-ctx.Done():
			return ctx.Err()
		}
		changed = f.takeChanged()
	}
}

// allWanted returns all wanted topics with the numbers of their requests, for a connection without
// subscriptions.
func (f *redisFeed) allWanted() map[string]uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.changed)
	return maps.Clone(f.wanted)
}

// takeChanged returns the topics that have changed since the last call, with the numbers of their
// requests, or 0 for a topic that is not wanted any more.
func (f *redisFeed) takeChanged() map[string]uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	changed := make(map[string]uint64, len(f.changed))
	for topic := range f.changed {
		changed[topic] = f.wanted[topic]
	}
	clear(f.changed)
	return changed
}
