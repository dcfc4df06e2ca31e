package history_test

import (
	"slices"
	"strings"
	"testing"

	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// judged are the names of all fields of text, and of maps by text, in what can be sent to Temporal, by what becomes of
// them.
var judged = map[string]string{
	"sealed, or a place for payloads": `details error_message message query_results stack_trace`,
	"in clear, as docs/threat-model.md lists": `activity_id build_id business_id comment deployment_name description endpoint fairness_key fields
		header identity indexed_fields job_id key name namespace nexus_header non_retryable_error_types normal_name notes operation operation_id
		operation_token owner_email data pause query query_type reason request_id resource_id schedule_id service set_fairness_weight_overrides
		signal signal_name task_queue task_queues type unpause unset_fairness_weight_overrides update_id upsert_entries remove_entries url value
		visibility_query workflow_id inbound_update_id host_name`,
	"made by the server or the SDK, or one of a few words": `binary_checksum control cron_schedule cron_string day_of_month day_of_week error_type
		fast_forward_id first_execution_run_id hour id marker_name message_id metadata minute month operation_state paths poller_group_id process_id
		protocol_instance_id run_id sdk_name sdk_version second security_token slot_supplier_kind source sticky_task_queue timer_id timezone_name
		type_url version worker_control_task_queue worker_grouping_key worker_identity worker_instance_key year`,
	"for who runs Temporal: clusters, versions of workers, rules": `active_cluster_name add_new_build_id_in_new_default_set binaries build_ids cluster_name
		compute_config_scaling_groups custom_search_attribute_aliases delete_bad_binary deployment_series_name existing_compatible_build_id
		history_archival_uri manager_identity new_build_id nexus_endpoint operator pinned_version predicate primary_set_build_id
		promote_build_id_within_set promote_set_by_build_id remove_compute_config_scaling_groups rule_id scaling_groups secondary_set_build_id
		series_name source_build_id target_build_id visibility_archival_uri`,
}

// TestEveryTextFieldIsJudged: no canary can be planted in a field that nobody knows of. When an upgrade of the API brings
// one, decide what becomes of it, plant a canary where an application can write there, and put it on its list.
func TestEveryTextFieldIsJudged(t *testing.T) {
	var known []string
	for _, names := range judged {
		known = append(known, strings.Fields(names)...)
	}
	fields := map[string]string{}
	seen := map[protoreflect.FullName]bool{"temporal.api.common.v1.Payload": true}
	methods := workflowservice.File_temporal_api_workflowservice_v1_service_proto.Services().Get(0).Methods()
	for i := range methods.Len() {
		textFields(methods.Get(i).Input(), seen, fields)
	}
	if len(fields) < 100 {
		t.Fatalf("the API has only %d fields of text", len(fields))
	}
	for name, where := range fields {
		if !slices.Contains(known, name) {
			t.Errorf("nobody has judged the field %s, for example in %s", name, where)
		}
	}
	slices.Sort(known)
	for i, name := range known {
		if fields[name] == "" {
			t.Errorf("the API has no field %s any more", name)
		}
		if i > 0 && name == known[i-1] {
			t.Errorf("the field %s is judged twice", name)
		}
	}
}

// textFields finds the fields of text in a message and in what it holds.
func textFields(m protoreflect.MessageDescriptor, seen map[protoreflect.FullName]bool, fields map[string]string) {
	if seen[m.FullName()] {
		return
	}
	seen[m.FullName()] = true
	for i := range m.Fields().Len() {
		field := m.Fields().Get(i)
		if field.Kind() == protoreflect.StringKind || field.IsMap() && field.MapKey().Kind() == protoreflect.StringKind {
			fields[string(field.Name())] = string(m.FullName())
		}
		if field.Kind() == protoreflect.MessageKind {
			textFields(field.Message(), seen, fields)
		}
	}
}
