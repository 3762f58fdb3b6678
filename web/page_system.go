package web

import "time"

// A Tile is a number that matters.
type Tile struct{ Name, Value, Note string }

// A ServiceRow is how long jobs of a service took.
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

// SystemPage shows the engine from above.
type SystemPage struct {
	Page
	Refresh  int
	Tiles    []Tile
	Chart    Chart
	Services []ServiceRow
	Workers  []WorkerRow
	Facts    []Fact
}
