package eventlog

// SystemActor is the actor of the commits that the log's own upkeep writes.
const SystemActor = "system"

// FirstBatch is the batch that every log begins with: revision 1,
// epoch.started of epoch 1 by SystemActor. It is put together with the log's
// identity, so that an existing log has a head. logID must pass CheckLogID and
// timeMS (Unix milliseconds) be after 1970. Guard is zero in next.
func FirstBatch(logID string, nonce Nonce, timeMS int64, by string) (raw []byte, next Head) {
	b := NewBatchBuilder(Head{}, by)
	err := b.Add(&Commit{
		ID:     "created",
		Time:   timeMS,
		Actor:  SystemActor,
		Events: []Event{&EpochStarted{Epoch: 1, LogID: logID, Nonce: nonce, Cause: CauseCreated}},
	})
	if err != nil {
		panic("eventlog: FirstBatch: " + err.Error()) // nothing in a first commit can be refused
	}
	return b.Finish()
}
