// Package store opens the database of a server, PostgreSQL or SQLite, and hides their differences:
// connections, sessions, SQL dialects, statements for many rows, and what their errors mean. It also
// keeps the other files of a data directory: the lock, the secret and backups.
//
// It knows nothing of jobs.
package store
