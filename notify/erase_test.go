package notify_test

import (
	"crypto/rand"
	"fmt"
	"testing"

	"github.com/redis/go-redis/v9"

	"coatcheck/jobs/jobstest"
	"coatcheck/notify"
)

// What is erased can't be read again; what comes later can.
func TestErase(t *testing.T) {
	eachHub(t, func(t *testing.T, publisher, hub *notify.Hub) {
		publish(t, publisher, 1)
		publish(t, publisher, 2)
		if err := publisher.Publish("other", notify.Event{ID: id(1, 1), Name: "progress", Data: []byte(`{"n":1}`)}); err != nil {
			t.Fatal(err)
		}
		if err := publisher.Erase("job"); err != nil {
			t.Fatal(err)
		}
		if err := publisher.Erase("nobody's"); err != nil {
			t.Fatal(err)
		}
		s := subscribe(t, hub, "job")
		defer s.Close()
		s.Start(id(1, 0))
		publish(t, publisher, 3)
		if got, gap := take(t, s, 3); got != nil || !gap {
			t.Errorf("after erasing: %v, gap %t, want only that something is missing", got, gap)
		}
		other := subscribe(t, hub, "other")
		defer other.Close()
		other.Start(id(1, 0))
		if got, gap := take(t, other, 1); gap || fmt.Sprint(got) != "[1]" {
			t.Errorf("of another topic: %v, gap %t", got, gap)
		}
	})
}

// No key of a topic is left in Redis, also when it was away meanwhile.
func TestEraseFromRedis(t *testing.T) {
	t.Parallel()
	r := jobstest.PrivateRedis(t)
	prefix := "test-" + rand.Text()
	hub := redisHub(t, "redis://"+r.Addr, prefix)
	client := redis.NewClient(&redis.Options{Addr: r.Addr})
	defer client.Close()
	left := func() int64 {
		n, err := client.Exists(t.Context(), prefix+":{job}:log").Result()
		if err != nil {
			return -1
		}
		return n
	}
	publish(t, hub, 1)
	if n := left(); n != 1 {
		t.Fatalf("%d logs, want one", n)
	}
	if err := hub.Erase("job"); err != nil || left() != 0 {
		t.Errorf("%v, %d logs left", err, left())
	}
	publish(t, hub, 2)
	r.Freeze()
	if err := hub.Erase("job"); err == nil {
		t.Error("erased from a Redis that is frozen")
	}
	r.Thaw()
	jobstest.Until(t, "erasing", func() bool { return left() == 0 })
}
