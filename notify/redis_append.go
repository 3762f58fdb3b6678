package notify

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"
)

// appendScript appends events to the logs of their topics and publishes them. For each event it
// does both or neither. An event without a name deletes the log. Redis itself rejects an id that is
// not greater than the log's last. An error in one topic does not affect the others.
var appendScript = redis.NewScript(`
local answers = {}
for i = 1, #KEYS / 2 do
	local log, channel = KEYS[2*i-1], KEYS[2*i]
	local id, prev, name, data, most = ARGV[5*i-3], ARGV[5*i-2], ARGV[5*i-1], ARGV[5*i], ARGV[5*i+1]
	if name ~= '' and prev == '0-0' then
		local last = redis.pcall('XREVRANGE', log, '+', '-', 'COUNT', 1)
		if last[1] then prev = last[1][1] end
	end
	local added
	if name == '' then
		redis.call('DEL', log)
	else
		added = redis.pcall('XADD', log, 'MAXLEN', '~', most, id, 'p', prev, 'n', name, 'd', data)
	end
	if not added then
		answers[i] = 'ok'
	elseif type(added) ~= 'table' then
		redis.call('PEXPIRE', log, ARGV[1])
		redis.call('PUBLISH', channel, id .. ' ' .. prev .. ' ' .. name .. ' ' .. data)
		answers[i] = 'ok'
	elseif string.find(added.err, 'equal or smaller', 1, true) then
		answers[i] = 'stale'
	elseif string.find(added.err, 'WRONGTYPE', 1, true) then
		answers[i] = added.err
	else
		return added
	end
end
return answers`)

// erase deletes a topic's log. It is queued in the outbox as an event without a name, after all
// earlier events.
func (f *redisFeed) erase(topic string) error {
	if err := f.outbox.put(topic, Event{}); err != nil {
		return fmt.Errorf("erase from Redis: %w", err)
	}
	return nil
}

// append appends an event to its topic's log and publishes it.
func (f *redisFeed) append(topic string, e Event) error {
	err := f.outbox.put(topic, e)
	if err != nil && !errors.Is(err, ErrStale) {
		return fmt.Errorf("publish to Redis: %w", err)
	}
	return err
}

// send appends the events of a batch in Redis and reports the results to their publishers. An error
// means that Redis did not accept all events and that they should be sent again; those that it
// already has are stale then.
func (f *redisFeed) send(ctx context.Context, batch []queuedEvent) error {
	err := f.trySend(ctx, batch)
	f.note(ctx, err)
	return err
}

// note logs when Redis begins to refuse events.
func (f *redisFeed) note(ctx context.Context, err error) {
	if before := f.refused.Swap(err != nil); err != nil && !before && ctx.Err() == nil {
		f.hub.logger.WarnContext(ctx, "Redis accepts no events: they wait, and viewers are served from the database",
			"err", err)
	}
}

func (f *redisFeed) trySend(ctx context.Context, batch []queuedEvent) error {
	results, err := f.call(ctx, batch)
	switch {
	case isOutage(err):
		return err
	case err != nil && len(batch) > 1: // retry one by one, so that a bad event fails alone
		for i := range batch {
			if err := f.trySend(ctx, batch[i:i+1]); err != nil {
				return err
			}
		}
		return nil
	case err != nil:
		batch[0].reply(err)
		return nil
	}
	for i := range batch {
		switch results[i] {
		case "ok":
			batch[i].reply(nil)
		case "stale":
			batch[i].reply(ErrStale)
		default:
			batch[i].reply(errors.New(results[i]))
		}
	}
	return nil
}

// call calls the script for the events of a batch and returns a result for each. If no publisher is
// waiting, there is time to establish a new connection first.
func (f *redisFeed) call(ctx context.Context, batch []queuedEvent) ([]string, error) {
	limit := responseTimeout
	if i := slices.IndexFunc(batch, func(s queuedEvent) bool { return s.done != nil }); i >= 0 {
		// The publisher has already waited.
		limit = max(time.Until(batch[i].since.Add(publishTimeout)), publishTimeout/10)
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	keys, args := make([]string, 0, 2*len(batch)), make([]any, 1, 1+5*len(batch))
	args[0] = logAge.Milliseconds()
	for i := range batch {
		s := &batch[i]
		keys = append(keys, f.log(s.topic), f.channel(s.topic))
		args = append(args, s.event.ID.String(), s.event.Prev.String(), s.event.Name, s.event.Data,
			maxEvents(len(s.event.Data)))
	}
	return appendScript.Run(ctx, f.client, keys, args...).StringSlice()
}

// maxEvents returns the maximum number of events in a log to which an event of this size is added:
// as many of this size as fit into topicBytes. Redis limits a stream by its number of events, not
// by their bytes.
func maxEvents(size int) int { return min(logEvents, max(topicBytes/max(size, 1), 1)) }

// isOutage reports whether Redis currently accepts no events at all, until it recovers or its
// configuration or ours is changed. Otherwise the error concerns only these events.
func isOutage(err error) bool {
	if err == nil {
		return false
	}
	if _, ok := errors.AsType[redis.Error](err); !ok {
		return true // no response
	}
	// Redis closes a connection without its password with a protocol error when a command has more
	// than 10 arguments, before it would respond NOAUTH.
	return slices.ContainsFunc([]string{"LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "BUSY", "NOREPLICAS", "MISCONF", "OOM", "NOAUTH", "WRONGPASS", "NOPERM", "MOVED", "ASK", "Protocol error"}, func(prefix string) bool {
		return redis.HasErrorPrefix(err, prefix)
	})
}
