# Signet destroyer: carry out the destruction that a custodian has scheduled, with the earlier versions of the document.
# It adds no key and unwraps none; give it to few, for as long as it takes.
path "secret/data/signet/keysets/*" {
  capabilities = ["read", "update"]
}
path "secret/destroy/signet/keysets/*" {
  capabilities = ["update"]
}
