-- Every study that has been quiet for StableAge goes to triaged. Our own results make it stable again: that is known.
function OnStableStudy(study, tags, metadata)
  RestApiPost('/modalities/triaged/store', DumpJson({ Resources = { study }, Synchronous = false }))
end
