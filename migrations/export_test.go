package migrations

import "context"

// UpTo applies our migrations up to a version, as an older program would.
func (m *Migrator) UpTo(ctx context.Context, version int64) error {
	_, err := m.ours.UpTo(ctx, version)
	return err
}
