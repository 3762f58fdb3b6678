package auth

import (
	"strings"
	"testing"
)

// vectorPassword is the password of the vectors. They were made with Werkzeug
// 3.1.8 on Python's hashlib, with libxcrypt and with the reference
// implementation of Argon2.
const vectorPassword = "correct horse päper"

var vectors = map[string]string{
	"pbkdf2 sha1":      "pbkdf2:sha1:1000$ALAhlTR1Qzlx8uDX$e4bf9e81b205a15b241a13312326a886cdeb1f85",
	"pbkdf2 sha256":    "pbkdf2:sha256:1000$Jk6woNJrkTzmK0HL$38154b6b2fb6c682e20fff316107abb38233178846172348ef896b7d7d7a4da1",
	"pbkdf2 sha512":    "pbkdf2:sha512:1000$LKPxPNSEQljyQ7vY$f30463de1ee858626322885b4345626668b88691d3868e957a2233856245ef05744e8b9267d18f8594fe907b6b44f519efdfaebfe6644e413ed0a8eab43533d8",
	"scrypt":           "scrypt:1024:8:1$K42EBnFZhuzFUiRJ$996633efc3e319012830968924f9d2d3edea544a7b74c8580d41183df55e5d62454d6ad9da1c6bd6fc17d62c6baafc349988819abf197ae2bab727c5b8d70ff3",
	"scrypt p=2":       "scrypt:2048:4:2$UvmewDj7BOuMSjO2$60db45c6d83f9551c3556ef21520291c7243b8f872da8958b0052c7ea7af50510e79c4fb624d0e405acb9d9fa3f89c14dce5a0c65673920951cb569a42410a50",
	"bcrypt 2a":        "$2a$04$abcdefghijklmnopqrstuuk.FNMtr/SMfB1M5Dx2WuoiZYfXYOI3u",
	"bcrypt 2b":        "$2b$04$abcdefghijklmnopqrstuuk.FNMtr/SMfB1M5Dx2WuoiZYfXYOI3u",
	"bcrypt 2y":        "$2y$04$abcdefghijklmnopqrstuuk.FNMtr/SMfB1M5Dx2WuoiZYfXYOI3u",
	"argon2id":         "$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQ$tvqwnHMLwos4ZFW4Nztt/Sz2jX4oFDZWn9qvsp1F0ZY",
	"argon2id p=4":     "$argon2id$v=19$m=256,t=2,p=4$c2l4dGVlbi5ieXRlLnNsdA$ERZuD2Kkhyt9n+RFVFONbg",
	"argon2id 64 byte": "$argon2id$v=19$m=100,t=3,p=3$c2l4dGVlbi5ieXRlLnNsdA$TAj6aa0wkviDP/ncbolSFjEHuD9HgIwLao5FrqPBNXrSZMcBW6wf3iVnCOonJNIm29B8+9/8MOJibbk2WYO8Cg",
}

func TestPasswordHashes(t *testing.T) {
	for name, hash := range vectors {
		t.Run(name, func(t *testing.T) {
			matches, err := parseHash(hash)
			if err != nil {
				t.Fatal(err)
			}
			for password, want := range map[string]bool{
				vectorPassword:                          true,
				vectorPassword + " ":                    false,
				strings.TrimSuffix(vectorPassword, "r"): false,
				strings.ToUpper(vectorPassword):         false,
				"":                                      false,
				hash:                                    false,
			} {
				if got := matches(password); got != want {
					t.Errorf("password %q: got %v, want %v", password, got, want)
				}
			}
		})
	}
}

// The 72 bytes that bcrypt looks at are the same here as in libxcrypt.
func TestBcryptLongPassword(t *testing.T) {
	matches, err := parseHash("$2b$04$abcdefghijklmnopqrstuubzadhGtS2zEF.gu0yd0opP6cVzb.e0i")
	if err != nil {
		t.Fatal(err)
	}
	for n, want := range map[int]bool{71: false, 72: true, 80: true} {
		if got := matches(strings.Repeat("x", n)); got != want {
			t.Errorf("%d bytes: got %v, want %v", n, got, want)
		}
	}
}

func TestHashPassword(t *testing.T) {
	first, err := HashPassword(vectorPassword)
	if err != nil {
		t.Fatal(err)
	}
	if prefix := "$argon2id$v=19$m=65536,t=3,p=4$"; !strings.HasPrefix(first, prefix) {
		t.Errorf("got %s, want prefix %s", first, prefix)
	}
	matches, err := parseHash(first)
	if err != nil {
		t.Fatal(err)
	}
	if !matches(vectorPassword) {
		t.Error("got false for the password that the hash was made from, want true")
	}
	if second, err := HashPassword(vectorPassword); err != nil || second == first {
		t.Errorf("got %s, %v twice, want another salt", second, err)
	}
	for _, password := range []string{"", "a\x00b", "a\xffb"} {
		if got, err := HashPassword(password); err == nil {
			t.Errorf("password %q: got %s, want an error", password, got)
		}
	}
}

func TestParseHash(t *testing.T) {
	const (
		sha1Sum   = "e4bf9e81b205a15b241a13312326a886cdeb1f85"
		sha256Sum = "38154b6b2fb6c682e20fff316107abb38233178846172348ef896b7d7d7a4da1"
		scryptSum = sha256Sum + sha256Sum
		bcryptSum = "abcdefghijklmnopqrstuuk.FNMtr/SMfB1M5Dx2WuoiZYfXYOI3u"
		argonSalt = "c29tZXNhbHQ"
		argonSum  = "tvqwnHMLwos4ZFW4Nztt/Sz2jX4oFDZWn9qvsp1F0ZY"
	)
	tests := []struct {
		name, hash string
		ok         bool
	}{
		{"Flask-HTTPAuth config", "pbkdf2:sha256:260000$wyq8Mr00ETYzCfQn$166386b90bdb3b65856c25ada6787c4dc49e21b28947bdcd96caac986a0a8037", true},
		{"Werkzeug 3 default", "scrypt:32768:8:1$K42EBnFZhuzFUiRJ$" + scryptSum, true},

		{"empty", "", false},
		{"plain text", "hunter2", false},
		{"plain text with a dollar", "$ecret:1", false},
		{"unsalted digest", sha256Sum, false},
		{"Werkzeug's old salted digest", "sha256$salt$" + sha256Sum, false},
		{"Werkzeug's old plain text", "plain$$hunter2", false},
		{"crypt sha512", "$6$salt$" + scryptSum, false},
		{"argon2i", "$argon2i$v=19$m=64,t=1,p=1$" + argonSalt + "$" + argonSum, false},

		{"pbkdf2 without rounds", "pbkdf2:sha256$salt$" + sha256Sum, false},
		{"pbkdf2 with empty rounds", "pbkdf2:sha256:$salt$" + sha256Sum, false},
		{"pbkdf2 without digest", "pbkdf2$salt$" + sha256Sum, false},
		{"pbkdf2 with one parameter more", "pbkdf2:sha256:1000:1$salt$" + sha256Sum, false},
		{"pbkdf2 md5", "pbkdf2:md5:1000$salt$0123456789abcdef0123456789abcdef", false},
		{"pbkdf2 negative rounds", "pbkdf2:sha256:-1000$salt$" + sha256Sum, false},
		{"pbkdf2 signed rounds", "pbkdf2:sha256:+1000$salt$" + sha256Sum, false},
		{"pbkdf2 rounds beyond 64 bits", "pbkdf2:sha256:18446744073709552616$salt$" + sha256Sum, false},
		{"pbkdf2 fewest rounds", "pbkdf2:sha256:1000$salt$" + sha256Sum, true},
		{"pbkdf2 too few rounds", "pbkdf2:sha256:999$salt$" + sha256Sum, false},
		{"pbkdf2 most rounds", "pbkdf2:sha256:10000000$salt$" + sha256Sum, true},
		{"pbkdf2 too many rounds", "pbkdf2:sha256:10000001$salt$" + sha256Sum, false},
		{"pbkdf2 without salt", "pbkdf2:sha256:1000$$" + sha256Sum, false},
		{"pbkdf2 without hash", "pbkdf2:sha256:1000$salt$", false},
		{"pbkdf2 with half a hash", "pbkdf2:sha256:1000$salt$" + sha256Sum[:32], false},
		{"pbkdf2 with the hash of another digest", "pbkdf2:sha256:1000$salt$" + sha1Sum, false},
		{"pbkdf2 with an odd digit", "pbkdf2:sha256:1000$salt$" + sha256Sum[1:], false},
		{"pbkdf2 with rest", "pbkdf2:sha256:1000$salt$" + sha256Sum + "$", false},
		{"pbkdf2 of another library", "$pbkdf2-sha256$29000$salt$hash", false},

		{"scrypt without parameters", "scrypt$salt$" + scryptSum, false},
		{"scrypt with two parameters", "scrypt:32768:8$salt$" + scryptSum, false},
		{"scrypt N not a power of two", "scrypt:32767:8:1$salt$" + scryptSum, false},
		{"scrypt N too small", "scrypt:512:8:1$salt$" + scryptSum, false},
		{"scrypt r=0", "scrypt:32768:0:1$salt$" + scryptSum, false},
		{"scrypt p=0", "scrypt:32768:8:0$salt$" + scryptSum, false},
		{"scrypt 1 GiB", "scrypt:1048576:8:1$salt$" + scryptSum, true},
		{"scrypt 2 GiB", "scrypt:2097152:8:1$salt$" + scryptSum, false},
		{"scrypt most work", "scrypt:32768:8:64$salt$" + scryptSum, true},
		{"scrypt too much work", "scrypt:32768:8:65$salt$" + scryptSum, false},
		{"scrypt whose product overflows", "scrypt:1073741824:1073741824:16$salt$" + scryptSum, false},
		{"scrypt with half a hash", "scrypt:32768:8:1$salt$" + sha256Sum, false},

		{"bcrypt 2x", "$2x$04$" + bcryptSum, false},
		{"bcrypt 2", "$2$04$" + bcryptSum, false},
		{"bcrypt without cost", "$2b$$" + bcryptSum, false},
		{"bcrypt signed cost", "$2b$+4$" + bcryptSum, false},
		{"bcrypt too cheap", "$2b$03$" + bcryptSum, false},
		{"bcrypt most expensive", "$2b$16$" + bcryptSum, true},
		{"bcrypt too expensive", "$2b$17$" + bcryptSum, false},
		{"bcrypt too short", "$2b$04$" + bcryptSum[1:], false},
		{"bcrypt too long", "$2b$04$" + bcryptSum + "u", false},
		{"bcrypt with a stray character", "$2b$04$" + bcryptSum[:52] + "=", false},
		{"bcrypt with another sign before the cost", "$2b:04$" + bcryptSum, false},
		{"bcrypt with another sign after the cost", "$2b$04:" + bcryptSum, false},
		{"bcrypt without its first dollar", "2b:$04$" + bcryptSum, false},

		{"argon2id without version", "$argon2id$m=64,t=1,p=1$" + argonSalt + "$" + argonSum, false},
		{"argon2id version 16", "$argon2id$v=16$m=64,t=1,p=1$" + argonSalt + "$" + argonSum, false},
		{"argon2id parameters in another order", "$argon2id$v=19$t=1,m=64,p=1$" + argonSalt + "$" + argonSum, false},
		{"argon2id with a key id", "$argon2id$v=19$m=64,t=1,p=1,keyid=AA$" + argonSalt + "$" + argonSum, false},
		{"argon2id t=0", "$argon2id$v=19$m=64,t=0,p=1$" + argonSalt + "$" + argonSum, false},
		{"argon2id p=0", "$argon2id$v=19$m=64,t=1,p=0$" + argonSalt + "$" + argonSum, false},
		{"argon2id p=256", "$argon2id$v=19$m=4096,t=1,p=256$" + argonSalt + "$" + argonSum, false},
		{"argon2id too little memory", "$argon2id$v=19$m=31,t=1,p=4$" + argonSalt + "$" + argonSum, false},
		{"argon2id 1 GiB", "$argon2id$v=19$m=1048576,t=8,p=4$" + argonSalt + "$" + argonSum, true},
		{"argon2id over 1 GiB", "$argon2id$v=19$m=1048577,t=1,p=4$" + argonSalt + "$" + argonSum, false},
		{"argon2id too many passes", "$argon2id$v=19$m=1048576,t=9,p=4$" + argonSalt + "$" + argonSum, false},
		{"argon2id short salt", "$argon2id$v=19$m=64,t=1,p=1$c29tZQ$" + argonSum, false},
		{"argon2id without hash", "$argon2id$v=19$m=64,t=1,p=1$" + argonSalt + "$", false},
		{"argon2id with stray bits", "$argon2id$v=19$m=64,t=1,p=1$" + argonSalt + "$" + argonSum[:42] + "Z", false},
		{"argon2id padded", "$argon2id$v=19$m=64,t=1,p=1$" + argonSalt + "=$" + argonSum + "=", false},
		{"argon2id with rest", "$argon2id$v=19$m=64,t=1,p=1$" + argonSalt + "$" + argonSum + "$", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			matches, err := parseHash(tt.hash)
			if ok := err == nil && matches != nil; ok != tt.ok {
				t.Errorf("got accepted %v, error %v, want accepted %v", ok, err, tt.ok)
			}
		})
	}
}

func FuzzParseHash(f *testing.F) {
	for _, hash := range vectors {
		f.Add(hash)
	}
	f.Add("pbkdf2:sha256$salt$00")
	f.Add("hunter2")
	f.Fuzz(func(t *testing.T, s string) {
		matches, err := parseHash(s)
		if err == nil && isFastHash(s) && matches("not the password of any seed") {
			t.Errorf("got a match for a password that %q was not made from", s)
		}
	})
}

// cheap reports whether the parameters of an accepted hash have so few digits
// that checking it takes no time.
func isFastHash(hash string) bool {
	if strings.HasPrefix(hash, "$2") {
		return hash[4:6] <= "06"
	}
	params := hash[:strings.LastIndex(hash[:strings.LastIndex(hash, "$")], "$")]
	digits := strings.Map(func(r rune) rune {
		if r < '0' || r > '9' {
			return -1
		}
		return r
	}, params)
	return len(digits) <= 8
}
