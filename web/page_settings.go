package web

// A SettingRow is a setting of the server.
type SettingRow struct {
	Name, Value, Help string
	Source            string // "" for a default
}

// SettingsPage shows the user's account and, to admins, the configuration in force.
type SettingsPage struct {
	Page
	Account, Server  []Fact
	Admin            bool
	Changed, Default []SettingRow
}
