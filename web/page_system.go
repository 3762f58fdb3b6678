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
	ID, Host, Status, Load string
	Beat                   string
	Started                time.Time
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
