package notify

import (
	"container/list"
	"context"
	"sync"
	"time"
)

const (
	// logEvents is the maximum number of events in a topic's log. logAge is how long the log is
	// kept after its last event.
	logEvents = 512
	logAge    = 10 * time.Minute
	// topicBytes limits the data in a topic's log, so that a topic with large events evicts only
	// its own events.
	topicBytes = 1 << 20
	// memoryBytes limits the size of all logs of a process together.
	memoryBytes = 32 << 20
	// eventBytes is the approximate overhead of an event. logBytes is that of a log.
	eventBytes = 128
	logBytes   = 512
)

// memory is the feed of a single process.
type memory struct {
	hub *Hub

	mu    sync.Mutex               // guards the fields below
	logs  map[string]*list.Element // values are *memoryLog
	order *list.List               // most recently appended first
	bytes int
}

type memoryLog struct {
	topic  string
	events ring
	head   ID
	at     time.Time
}

// size returns the approximate size of the log in bytes.
func (l *memoryLog) size() int { return logBytes + l.events.bytes + l.events.len()*eventBytes }

func newMemory(h *Hub) *memory {
	return &memory{hub: h, logs: make(map[string]*list.Element), order: list.New()}
}

func (m *memory) append(topic string, e Event) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	element := m.logs[topic]
	if element == nil {
		element = m.order.PushFront(&memoryLog{topic: topic})
		m.logs[topic] = element
		m.bytes += logBytes
	}
	log, _ := element.Value.(*memoryLog)
	if log.events.len() > 0 {
		if e.ID.Compare(log.head) <= 0 {
			return ErrStale
		}
		if e.Prev.IsZero() {
			e.Prev = log.head
		}
	}
	log.head, log.at = e.ID, time.Now()
	m.order.MoveToFront(element)
	before := log.size()
	log.events.push(e)
	for log.events.len() > logEvents || log.events.bytes > topicBytes && log.events.len() > 1 {
		log.events.shift()
	}
	m.bytes += log.size() - before
	for oldest := m.order.Back(); oldest != element; oldest = m.order.Back() {
		old, _ := oldest.Value.(*memoryLog)
		if m.bytes <= memoryBytes && time.Since(old.at) < logAge {
			break
		}
		m.bytes -= old.size()
		m.order.Remove(oldest)
		delete(m.logs, old.topic)
	}
	// Called with the lock held, so that viewers receive events in the order of the log.
	m.hub.received(topic, e)
	return nil
}

func (m *memory) erase(topic string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if element := m.logs[topic]; element != nil {
		log, _ := element.Value.(*memoryLog)
		m.bytes -= log.size()
		m.order.Remove(element)
		delete(m.logs, topic)
	}
	return nil
}

func (m *memory) read(_ context.Context, topic string, after ID) ([]Event, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	element := m.logs[topic]
	if element == nil {
		return nil, nil
	}
	log, _ := element.Value.(*memoryLog)
	return log.events.after(after), nil
}

func (m *memory) watch(string) bool { return true }

func (m *memory) unwatch(string) {}

func (m *memory) degraded() bool { return false }

func (m *memory) close() {}
