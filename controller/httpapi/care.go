package httpapi

import (
	"time"

	"dvr/controller/service"
)

// careParams are those of every mutation beside what shapes its answer.
var careParams = []string{"dry_run", "force", "confirm_within", "not_before", "expires_in", "propose"}

// care reads them; nil: none is given.
func (q *query) care() (*service.Care, error) {
	given := false
	for _, name := range careParams {
		given = given || q.has(name)
	}
	if !given {
		return nil, nil
	}
	var c service.Care
	var err error
	if c.DryRun, err = q.flag("dry_run"); err != nil {
		return nil, err
	}
	if c.Force, err = q.flag("force"); err != nil {
		return nil, err
	}
	if c.Propose, err = q.flag("propose"); err != nil {
		return nil, err
	}
	if c.ConfirmWithin, err = q.span("confirm_within"); err != nil {
		return nil, err
	}
	if c.ExpiresIn, err = q.span("expires_in"); err != nil {
		return nil, err
	}
	if q.has("not_before") {
		at, err := q.instant("not_before")
		if err != nil {
			return nil, err
		}
		c.NotBefore = at.UnixMilli()
	}
	return &c, nil
}

// flag reads true or false; absent is false.
func (q *query) flag(name string) (bool, error) {
	switch v := q.get(name); {
	case v == "true":
		return true, nil
	case v == "false", !q.has(name):
		return false, nil
	}
	return false, fieldError(name, "must be true or false")
}

// span reads a duration above 0; absent is 0.
func (q *query) span(name string) (time.Duration, error) {
	if !q.has(name) {
		return 0, nil
	}
	d, err := time.ParseDuration(q.get(name))
	if err != nil || d <= 0 {
		return 0, fieldError(name, "must be a duration above 0, such as 60s or 2h")
	}
	return d, nil
}

// instant reads a point of time: RFC 3339, or a duration from now on.
func (q *query) instant(name string) (time.Time, error) {
	v := q.get(name)
	if d, err := time.ParseDuration(v); err == nil && d > 0 {
		return time.Now().Add(d), nil
	}
	at, err := time.Parse(time.RFC3339, v)
	if err != nil {
		return at, fieldError(name, "must be a time such as 2026-11-22T03:00:00Z, or a duration from now such as 8h")
	}
	return at, nil
}
