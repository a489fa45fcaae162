package service

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"dvr/controller/fibstream"
	"dvr/eventlog"
)

// LocalPlanes are the data planes of this node, with what others ask it about them.
type LocalPlanes interface {
	DataPlanes
	// WaitHere is WaitInstalled for the data planes connected to this node: those
	// of require that are not are neither waited for nor told.
	WaitHere(ctx context.Context, first, last eventlog.Revision, prefixes []netip.Prefix, require []eventlog.RouterID) Installation
}

// Planes makes DataPlanes of the FIB server of a node.
func Planes(s *fibstream.Server, node string) LocalPlanes { return &planes{s, node} }

type planes struct {
	s    *fibstream.Server
	node string
}

func (p *planes) Known(r eventlog.RouterID) bool { return p.s.Known(r) }

func (p *planes) Subscribed() []eventlog.RouterID {
	list := p.s.List()
	out := make([]eventlog.RouterID, len(list))
	for i := range list {
		out[i] = list[i].Router
	}
	return out
}

func (p *planes) Survey(context.Context) []DataPlane { return p.List() }

func (p *planes) List() []DataPlane {
	list := p.s.List()
	out := make([]DataPlane, len(list))
	for i, d := range list {
		out[i] = DataPlane{
			Router: d.Router, Instance: d.Instance, Node: p.node, Version: d.Version, Connected: d.Connected,
			Position: d.Position, Lag: d.Lag, DigestEqual: d.DigestEqual, Deviates: d.Deviates,
			Failed: d.Failed, Since: d.Since, Counters: d.Counters, Down: d.Down, Repairs: d.Repairs, Undone: d.Undone,
		}
		for _, k := range d.Sinks {
			out[i].Sinks = append(out[i].Sinks, k.Name)
		}
		out[i].SinkStates = d.Sinks
	}
	return out
}

func (p *planes) Lookup(ctx context.Context, router eventlog.RouterID, a netip.Addr) (Lookup, error) {
	got, err := p.s.Lookup(ctx, router, a)
	if err != nil {
		return Lookup{Position: got.Position}, asked(router, err)
	}
	return Lookup{Position: got.Position, Prefix: got.Prefix, Class: got.Class, NextHops: got.NextHops}, nil
}

func (p *planes) Audit(ctx context.Context, router eventlog.RouterID) ([]fibstream.SinkAudit, error) {
	got, err := p.s.Audit(ctx, router)
	if err != nil {
		return nil, asked(router, err)
	}
	return got, nil
}

// asked is the error of a question to a router's data plane in this package's words.
func asked(router eventlog.RouterID, err error) error {
	switch {
	case errors.Is(err, fibstream.ErrNotFound):
		return fmt.Errorf("%w: %w", ErrNotFound, err)
	case errors.Is(err, fibstream.ErrNoDataPlane):
		return &noDataPlane{router}
	case errors.Is(err, fibstream.ErrClosed), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	case errors.Is(err, fibstream.ErrBusy):
		return fmt.Errorf("%w: %w", ErrOverloaded, err)
	}
	return err
}

// noDataPlane is ErrNoDataPlane of a router.
type noDataPlane struct{ router eventlog.RouterID }

func (e *noDataPlane) Error() string {
	return fmt.Sprintf("no data plane of router %s is connected", e.router)
}

func (e *noDataPlane) Unwrap() error { return ErrNoDataPlane }

func (p *planes) WaitInstalled(ctx context.Context, first, last eventlog.Revision, prefixes []netip.Prefix, require []eventlog.RouterID) Installation {
	got, _ := p.s.WaitInstalledRange(ctx, first, last, prefixes, require) // past the deadline the result says what is pending
	return p.installation(got, prefixes)
}

func (p *planes) WaitHere(ctx context.Context, first, last eventlog.Revision, prefixes []netip.Prefix, require []eventlog.RouterID) Installation {
	got, _ := p.s.WaitInstalledHere(ctx, first, last, prefixes, require)
	return p.installation(got, prefixes)
}

func (p *planes) installation(got fibstream.InstalledResult, prefixes []netip.Prefix) Installation {
	out := Installation{Installed: got.Installed, Disconnected: got.Disconnected, Pending: got.Pending}
	if len(got.Failed) == 0 {
		return out
	}
	known := map[eventlog.RouterID]fibstream.DataPlane{}
	for _, d := range p.s.List() {
		known[d.Router] = d
	}
	for _, id := range got.Failed {
		told := false
		for _, k := range known[id].Sinks {
			for _, f := range k.Failures {
				if concerns(f.Prefix, prefixes) {
					out.Failed = append(out.Failed, InstallFailure{Router: id, Sink: k.Name, Prefix: f.Prefix, Reason: f.Reason})
					told = true
				}
			}
		}
		if !told {
			out.Failed = append(out.Failed, InstallFailure{Router: id, Reason: "a sink could not install a prefix of the commit"})
		}
	}
	return out
}

// concerns reports whether a failed prefix is among those of the commit; none
// named means that it may concern any.
func concerns(failed string, prefixes []netip.Prefix) bool {
	if len(prefixes) == 0 {
		return true
	}
	p, err := netip.ParsePrefix(failed)
	if err != nil {
		return false
	}
	for _, q := range prefixes {
		if p == q {
			return true
		}
	}
	return false
}
