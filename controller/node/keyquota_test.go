package node

import "testing"

// TestKeysLeaveRoomForRoutes: keys, their copies in every snapshot that is kept
// and the log that is kept stay below the share at which writes stop.
func TestKeysLeaveRoomForRoutes(t *testing.T) {
	for _, c := range []struct{ wanted, store, want int64 }{
		{64 << 20, 8 << 30, 64 << 20}, {64 << 20, 1 << 30, 64 << 20}, {64 << 20, 64 << 20, 4 << 20}, {1 << 30, 8 << 30, 512 << 20}, {64 << 10, 64 << 20, 64 << 10},
	} {
		got := int64(keyQuotaOf(c.wanted, c.store))
		if got != c.want {
			t.Errorf("of %d bytes and a store of %d: %d, want %d", c.wanted, c.store, got, c.want)
		}
		const snapshots = 10 // the newest, the base and eight between
		if full := (snapshots*got + min(retainBytes, c.store/4)) * 100 / c.store; full >= refusePercent {
			t.Errorf("keys fill %d %% of a store of %d bytes", full, c.store)
		}
	}
}
