package jobs

// Links are the URLs that act on a job.
type Links struct {
	StatusURL string `json:"status_url" format:"uri"`
	EventsURL string `json:"events_url" format:"uri"`
	ResultURL string `json:"result_url" format:"uri"`
	CancelURL string `json:"cancel_url" format:"uri"`
	WebURL    string `json:"web_url" format:"uri"`
}

// links returns the URLs of a job below base, which has no trailing slash. ref is the job's id or
// its token. URLs that change a job always contain the id.
func (j *Job) links(base, ref string) Links {
	job := base + "/v1/jobs/" + ref
	return Links{
		StatusURL: job,
		EventsURL: job + "/events",
		ResultURL: job + "/result",
		CancelURL: base + "/v1/jobs/" + j.ID + "/cancel",
		WebURL:    base + "/jobs/" + ref,
	}
}

// Opened returns the job as its submitter sees it: with its token, and with URLs below base (such
// as "https://host") that contain the token.
func (j Job) Opened(base string) Job {
	j.Links, j.Input, j.Uploads = j.links(base, string(j.Token)), nil, nil
	j.setFileURL()
	return j
}

// Closed returns the job as all others see it: without its token, and with URLs below base that
// require credentials.
func (j Job) Closed(base string) Job {
	j.Links, j.Token = j.links(base, j.ID), ""
	j.setFileURL()
	j.setUploadURLs()
	return j
}

// WithoutInput returns the job without its input, for anyone but its owner.
func (j Job) WithoutInput() Job {
	j.Input, j.Uploads = nil, nil
	return j
}

// TokenURL returns the URL of the job's page below base that contains the token.
func (j Job) TokenURL(base string) string { return j.links(base, string(j.Token)).WebURL }
