// Package census answers the question that a custodian has to ask before a key goes: which keys does a namespace still
// need? It walks everything that a namespace keeps (schedules, open workflows, closed workflows within retention,
// standalone activities and Nexus operations) through Temporal's API and counts the payloads under each key id.
//
// A census needs no key: the key id stands outside the seal. What stands there is authentic only once a payload is
// opened, so whoever can write to Temporal can make a key look used. Nobody can make a key look unused that way.
//
// # What it can know
//
// A namespace does not stand still while it is walked. What is promised is this: a payload that existed when the census
// began, and still exists when it ends, was counted. That holds because of the order of the walk. What hands payloads on
// unopened (a schedule to the workflows it starts, a workflow to the next run of its chain: memo, cron input, header)
// is looked at before what it hands them to, so a payload that moves on meanwhile is met in one place or the other.
//
// Of the time after it began a census knows nothing: its counts are a lower bound for it. So promote the new key first,
// wait until no process seals with the old one any more, and then take the census: from then on the old key can only
// become less used. [Unused] holds a census against that order.
//
// A workflow that closes while the walk goes on may be counted twice, as open and as closed; [Tally].ClosedMeanwhile
// says how many such there may be. If it is 0, the counts are exact.
//
// # What it cannot see
//
//   - What is inside a seal: a value that itself holds sealed payloads, such as the value of a mutable side effect, which
//     the SDK seals twice within one call.
//   - Payloads in external storage, of which histories hold references only. They are counted.
//   - Archived histories, and Temporal's backups. A namespace that archives is told by [Result].Archived.
//   - What is on its way: the arguments of an update that is not accepted yet, signals that wait for a workflow task,
//     running batch operations. It becomes part of a history, or it is gone.
//   - The metadata of worker deployments, which no workflow reads.
package census
