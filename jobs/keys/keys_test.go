package keys_test

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"coatcheck/jobs/jobstest"
	"coatcheck/jobs/keys"
	"coatcheck/jobs/store"
	"coatcheck/notify/webhook"
)

// signers returns which of these keys the callbacks to alice are signed with.
func signers(t *testing.T, ring *keys.Keyring, secrets ...string) string {
	t.Helper()
	signing, err := ring.Signing(t.Context(), "alice")
	if err != nil {
		t.Fatal(err)
	}
	var found strings.Builder
	for _, k := range signing {
		for i, secret := range secrets {
			if k.Secret() == secret {
				found.WriteByte(byte('a' + i))
			}
		}
		if k.Scheme() == webhook.V1a {
			found.WriteByte('S')
		}
	}
	return found.String()
}

func TestKeys(t *testing.T) {
	jobstest.EachDatabase(t, func(t *testing.T, db *store.DB) {
		ring := jobstest.Keys(t, db)
		if got := signers(t, ring); got != "S" {
			t.Errorf("at first %s signs", got)
		}
		// An owner without a secret is given one, once.
		if signing, err := ring.Signing(t.Context(), "alice"); err != nil || len(signing) != 2 || signing[0].Scheme() != webhook.V1 {
			t.Errorf("at first %v sign, %v", signing, err)
		}
		create := func(owner string, grace *time.Duration) (keys.Key, string) {
			t.Helper()
			key, secret, err := ring.Create(t.Context(), owner, grace)
			if err != nil {
				t.Fatal(err)
			}
			return key, secret
		}
		_, a := create("alice", nil)
		first, b := create("alice", nil)
		create("bob", nil)
		if got := signers(t, ring, a, b); got != "baS" {
			t.Errorf("with two secrets %s signs", got)
		}
		hour, now := time.Hour, time.Duration(0)
		_, c := create("alice", &hour)
		if got := signers(t, ring, a, b, c); got != "cbaS" {
			t.Errorf("within the grace %s signs", got)
		}
		if err := ring.Revoke(t.Context(), "bob", first.ID); !errors.Is(err, keys.ErrNotFound) {
			t.Errorf("somebody else's key: %v", err)
		}
		if err := ring.Revoke(t.Context(), "alice", first.ID); err != nil {
			t.Error(err)
		}
		if got := signers(t, ring, a, b, c); got != "caS" {
			t.Errorf("after revoking %s signs", got)
		}
		_, d := create("alice", &now)
		if got := signers(t, ring, a, b, c, d); got != "dS" {
			t.Errorf("without grace %s signs", got)
		}
		list, err := ring.List(t.Context(), "alice")
		if err != nil || len(list) != 6 || list[0].ExpiresAt != nil || list[1].ExpiresAt == nil || !strings.HasPrefix(list[5].PublicKey, "whpk_") {
			t.Errorf("list %+v, %v", list, err)
		}
		for range keys.Max - 1 {
			create("alice", nil)
		}
		if _, _, err := ring.Create(t.Context(), "alice", nil); !errors.Is(err, keys.ErrTooMany) {
			t.Errorf("one too many: %v", err)
		}

		if err := ring.Revoke(t.Context(), "", webhook.V1a); !errors.Is(err, keys.ErrLast) {
			t.Errorf("the last server key: %v", err)
		}
		second, _ := create("", &hour)
		if got := signers(t, ring); got != "SS" {
			t.Errorf("with two server keys %s signs", got)
		}
		if err := ring.Revoke(t.Context(), "", second.ID); !errors.Is(err, keys.ErrLast) {
			t.Errorf("the only one that stays: %v", err)
		}
		if err := ring.Revoke(t.Context(), "", webhook.V1a); err != nil {
			t.Error(err)
		}
		if public, err := ring.Public(t.Context()); err != nil || len(public) != 1 {
			t.Errorf("public %s, %v", public, err)
		}
	})
}

// However many first callbacks of an owner are sent at once, one key is made, also
// when those before were revoked.
func TestFirstSigningKeyIsCreatedOnce(t *testing.T) {
	jobstest.EachDatabase(t, func(t *testing.T, db *store.DB) {
		for round := range 3 {
			all := []*keys.Keyring{jobstest.Keys(t, db), jobstest.Keys(t, db)} // two processes
			var signing sync.WaitGroup
			for i := range 10 {
				signing.Go(func() {
					if keys, err := all[i%2].Signing(t.Context(), "alice"); err != nil || len(keys) != 2 {
						t.Errorf("%d keys, %v", len(keys), err)
					}
				})
			}
			signing.Wait()
			list, err := all[0].List(t.Context(), "alice")
			if err != nil || len(list) != 1+round+1 { // the server's, revoked ones, the new one
				t.Fatalf("%d keys, %v", len(list), err)
			}
			for _, key := range list {
				if key.Owner == "alice" && key.ExpiresAt == nil {
					if err := all[0].Revoke(t.Context(), "alice", key.ID); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
	})
}

// What is in the database is worth nothing to who has no more than that.
func TestKeysAreEncrypted(t *testing.T) {
	jobstest.EachDatabase(t, func(t *testing.T, db *store.DB) {
		ring := jobstest.Keys(t, db)
		_, secret, err := ring.Create(t.Context(), "alice", nil)
		if err != nil {
			t.Fatal(err)
		}
		rows, err := db.Write.QueryContext(t.Context(), `SELECT id, secret FROM keys`)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		n := 0
		for rows.Next() {
			var id, stored string
			if err := rows.Scan(&id, &stored); err != nil {
				t.Fatal(err)
			}
			n++
			if strings.Contains(stored, "wh") && strings.Contains(stored, strings.TrimPrefix(secret, "whsec_")) || strings.HasPrefix(stored, "wh") {
				t.Errorf("%s is stored as %s", id, stored)
			}
		}
		if err := rows.Err(); err != nil || n != 3 {
			t.Errorf("%d keys, %v", n, err)
		}
		if _, err := keys.Open(t.Context(), db, []byte("another secret, long enough")); err == nil || !strings.Contains(err.Error(), "created with another one") {
			t.Errorf("with another secret: %v", err)
		}
		if _, err := keys.Open(t.Context(), db, []byte("short")); err == nil {
			t.Error("a short secret is taken")
		}
		// A key can't be put in the place of another.
		if _, err := db.Write.ExecContext(t.Context(), `UPDATE keys SET secret = (SELECT secret FROM keys WHERE id = 'v1a') WHERE kind = 'v1'`); err != nil {
			t.Fatal(err)
		}
		if _, err := ring.Signing(t.Context(), "alice"); err == nil {
			t.Error("a key in the place of another signs")
		}
	})
}
