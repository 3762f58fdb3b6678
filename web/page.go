package web

// A Page is what all pages have.
type Page struct {
	Title string
	// Here is the path of the part of the site that the page belongs to.
	Here string
	// User is who is signed in; empty for those who only hold a token.
	User string
	// CanSignOut says that the user came by a session.
	CanSignOut bool
	// Engine says that the user may look into the engine room.
	Engine bool
}

// A Link leads somewhere.
type Link struct {
	Name, Href, About string
	Here              bool
}

// A Field is something that a form asks for.
type Field struct {
	Name, ID, Label, Help, Kind, Value, Placeholder string
	// Errors are what is wrong with the value.
	Errors         []string
	Min, Max, Step string
	MaxLength      int
	Required       bool
	Options        []string // of a select
}

// A Form submits a job.
type Form struct {
	Action  string
	Key     string // makes a form that is sent twice one job
	Fields  []Field
	Options []Field
	Errors  []string // that belong to no field
	// OpenOptions says that something is wrong among the options, or set.
	OpenOptions bool
	// JSON says that the whole submission is typed as JSON, into the first
	// field; Other is the other way to fill it in.
	JSON  bool
	Other string
}

// A Snippet is the same call in a language.
type Snippet struct{ ID, Language, Code string }

// ServicesPage shows what can be run, and a form that runs it.
type ServicesPage struct {
	Page
	Services []Link
	Name     string
	Summary  string
	Limits   string
	Schema   string
	Form     Form
	Snippets []Snippet
	Recent   []JobRow
}

// LoginPage asks who somebody is.
type LoginPage struct {
	Page
	Next, Name, Error string
}

// ProblemPage says that something did not work, and what to do.
type ProblemPage struct {
	Page
	Status           int
	Heading, Detail  string
	RequestID, Retry string
	Mistakes         []string
}
