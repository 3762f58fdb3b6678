package web

import "time"

// A Tile is a key figure.
type Tile struct{ Name, Value, Note string }

// A ServiceRow holds the queue times and run times of a service.
type ServiceRow struct {
	Service   string
	Jobs      int
	Wait, Run []Tile // percentiles
	Bars      Chart
}

// A WorkerRow is a process that runs jobs.
type WorkerRow struct {
	ID, Host, PID, Version string
	Status, Beat, Load     string
	Started                time.Time
	Jobs                   []RunningJob // that the reader may see
	More                   bool         // whether there are more of these jobs
}

// A RunningJob is a job that a worker runs now.
type RunningJob struct {
	Href, ID, Service string
	Since             time.Time
}

// SystemPage shows the state of the queue, the workers and the database.
type SystemPage struct {
	Page
	Refresh  int
	Tiles    []Tile
	Chart    Chart
	Services []ServiceRow
	Workers  []WorkerRow
	Holds    []Hold
	Owners   bool // whether holds may have different owners
	Facts    []Fact
}
