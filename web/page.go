package web

import "iter"

// A Page holds the data that all pages share.
type Page struct {
	Title string
	// Here is the path of the current section in the navigation.
	Here string
	// User is the name of the signed-in user, or "" for clients that only have a token.
	User string
	// CanSignOut reports whether the user has a session.
	CanSignOut bool
	// Engine reports whether the user may open River's UI.
	Engine bool
}

// A Link is a link to a page.
type Link struct {
	Name, Href, About string
	Here              bool
}

// A Field is a form field.
type Field struct {
	Name, ID, Label, Help, Kind, Value, Placeholder string
	// Errors are the validation errors of the value.
	Errors         []string
	Min, Max, Step string
	MaxLength      int
	Required       bool
	Multiple       bool     // whether a file field takes several
	Focus          bool     // whether it has the focus when the page opens
	Options        []string // for a select
	Item           bool     // whether it is an item of a list
	Fields         []Field  // of a group, and the items of a list
	Most           int      // the maximum number of items of a list; 0 for no maximum
}

// AllFields returns the fields and, after each, those in it.
func AllFields(fields []Field) iter.Seq[*Field] {
	return func(yield func(*Field) bool) { eachField(fields, yield) }
}

func eachField(fields []Field, yield func(*Field) bool) bool {
	for i := range fields {
		if !yield(&fields[i]) || !eachField(fields[i].Fields, yield) {
			return false
		}
	}
	return true
}

// A Form is the form that submits a job.
type Form struct {
	Action  string
	Key     string // idempotency key: sending the form twice submits one job
	Fields  []Field
	Options []Field
	Errors  []string // that do not belong to a field
	// OpenOptions reports whether an option has a value or an error.
	OpenOptions bool
	// JSON reports whether the only field holds the whole submission as JSON. Other
	// is the link to the other kind of form.
	JSON  bool
	Other string
	// Multipart reports whether the form has files.
	Multipart bool
}

// A Snippet is an example API call in one language.
type Snippet struct{ ID, Language, Code string }

// ServicesPage lists the services and shows the form of one of them.
type ServicesPage struct {
	Page
	Services []Link
	Name     string
	Summary  string
	Limits   string
	Schema   string
	Form     Form
	Snippets []Snippet
	Refresh  int // interval in seconds
	Activity ServiceSummary
	Recent   []JobRow
	JobsHref string
}

// LoginPage is the login form.
type LoginPage struct {
	Page
	Next, Name, Error string
}

// ProblemPage describes an error and what to do about it.
type ProblemPage struct {
	Page
	Status           int
	Heading, Detail  string
	RequestID, Retry string
	Mistakes         []string
}
