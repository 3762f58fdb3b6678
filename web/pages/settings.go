package pages

import (
	"context"
	"net/http"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"

	"coatcheck/api"
	"coatcheck/web"
)

// settingsPage shows the user's account and the server's version, and to admins also its
// configuration and build.
func (a *Pages) settingsPage(r *http.Request) (string, any, error) {
	user := api.InfoOf(r.Context()).User
	v := web.SettingsPage{
		Page: a.pageFrame(r.Context(), "Settings", "/system"), Admin: user.Admin, Account: a.account(r.Context()),
		Server: []web.Fact{{Name: "Version", Text: a.Version}},
	}
	if !user.Admin {
		return "settings", v, nil
	}
	v.Server = append(v.Server, buildFacts()...)
	if a.Settings != nil {
		for _, s := range a.Settings() {
			if row := web.SettingRow(s); s.Source == "" {
				v.Default = append(v.Default, row)
			} else {
				v.Changed = append(v.Changed, row)
			}
		}
	}
	return "settings", v, nil
}

// account returns what the server knows about the user who makes the request.
func (a *Pages) account(ctx context.Context) []web.Fact {
	info := api.InfoOf(ctx)
	facts := []web.Fact{{Name: "Name", Text: info.User.Name}, {Name: "Role", Text: "user: sees only their own jobs"}}
	if info.User.Admin {
		facts[1].Text = "admin: sees the jobs of all users"
	}
	services := "all"
	if info.User.Services != nil {
		services = "none"
		if len(info.User.Services) > 0 {
			services = strings.Join(info.User.Services, ", ")
		}
	}
	facts = append(facts, web.Fact{Name: "Allowed services", Text: services})
	if a.Auth.Open() {
		return append(facts, web.Fact{Name: "Sign-in", Text: "not required, because no users are configured"})
	}
	password, keys := a.Auth.Methods(info.User.Name)
	set := "none"
	if password {
		set = "set"
	}
	facts = append(facts, web.Fact{Name: "Password", Text: set}, web.Fact{Name: "API keys", Text: strconv.Itoa(keys)})
	if info.Session != "" {
		facts = append(facts, web.Fact{Name: "Session ends", At: &info.SessionState.ExpiresAt.Time})
	}
	return facts
}

// buildFacts describes how the program was built.
func buildFacts() []web.Fact {
	facts := []web.Fact{{Name: "Go", Text: runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH}}
	build, ok := debug.ReadBuildInfo()
	if !ok {
		return facts
	}
	for _, s := range build.Settings {
		switch {
		case s.Key == "vcs.revision":
			facts = append(facts, web.Fact{Name: "Commit", Text: s.Value})
		case s.Key == "vcs.time":
			facts = append(facts, web.Fact{Name: "Committed", Text: s.Value})
		case s.Key == "vcs.modified" && s.Value == "true":
			facts = append(facts, web.Fact{Name: "Changes", Text: "built with uncommitted changes"})
		}
	}
	return facts
}
