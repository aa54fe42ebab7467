/*
 * Names that may stand before a parenthesis in a text that only reads: functions of PostgreSQL's own that
 * leave the database as it is, types, and words that are no function. Of the server's catalog those that are
 * immutable or stable, without the insides of types and operators; of the volatile ones those whose traces go
 * with the connection (pg_advisory_lock, set_config), or that may be called twice (pg_terminate_backend). Not
 * in the list, though it changes no row: nextval. A name that a newer server has costs no more than an
 * OutcomeUnknown.
 */
#include <string.h>

#include "driver/postgres/pg.h"

/* By their first letters a to i, j to o, p, q to z: ISO C knows no longer strings. */
static const char *const harmless[] = {
    " abbrev abs acldefault aclexplode acos acosd acosh age all and any any_value area array array_agg "
    "array_append array_cat array_dims array_fill array_lower array_ndims array_position "
    "array_positions array_prepend array_remove array_replace array_reverse array_sample array_shuffle "
    "array_sort array_to_json array_to_string array_to_tsvector array_upper as ascii asin asind asinh "
    "atan atan2 atan2d atand atanh avg bernoulli between bigint bit bit_and bit_count bit_length "
    "bit_or bit_xor bool bool_and bool_or boolean box bpchar broadcast by bytea cardinality case "
    "casefold cast cbrt ceil ceiling center char char_length character character_length chr cidr "
    "circle clock_timestamp coalesce col_description collate collation columns concat concat_ws "
    "convert convert_from convert_to corr cos cosd cosh cot cotd count covar_pop covar_samp crc32 "
    "crc32c cube cume_dist current_database current_date current_query current_schema current_schemas "
    "current_setting current_time current_timestamp current_user currval date date_add date_bin "
    "date_part date_subtract date_trunc datemultirange daterange dec decimal decode degrees dense_rank "
    "diagonal diameter distinct div else encode enum_first enum_last enum_range erf erfc escape every "
    "except exists exp extract factorial family fetch filter first_value float float4 float8 floor "
    "format format_type from gamma gcd gen_random_uuid generate_series generate_subscripts get_bit "
    "get_byte get_current_ts_config getdatabaseencoding greatest group grouping "
    "has_any_column_privilege has_column_privilege has_database_privilege "
    "has_foreign_data_wrapper_privilege has_function_privilege has_language_privilege "
    "has_parameter_privilege has_schema_privilege has_sequence_privilege has_server_privilege "
    "has_table_privilege has_tablespace_privilege has_type_privilege having height host hostmask ilike "
    "in inet inet_client_addr inet_client_port inet_server_addr inet_server_port initcap int int2 int4 "
    "int8 integer intersect interval is is_normalized isclosed isempty isfinite ishorizontal isopen "
    "isparallel isperp isvertical ",
    " join json json_agg json_array json_array_elements json_array_elements_text json_array_length "
    "json_arrayagg json_build_array json_build_object json_each json_each_text json_exists "
    "json_extract_path json_extract_path_text json_object json_object_agg json_object_keys "
    "json_objectagg json_populate_record json_populate_recordset json_query json_scalar json_serialize "
    "json_strip_nulls json_table json_to_record json_to_recordset json_to_tsvector json_typeof "
    "json_value jsonb jsonb_agg jsonb_array_elements jsonb_array_elements_text jsonb_array_length "
    "jsonb_build_array jsonb_build_object jsonb_concat jsonb_each jsonb_each_text jsonb_extract_path "
    "jsonb_extract_path_text jsonb_insert jsonb_object jsonb_object_agg jsonb_object_keys "
    "jsonb_path_exists jsonb_path_exists_tz jsonb_path_match jsonb_path_match_tz jsonb_path_query "
    "jsonb_path_query_array jsonb_path_query_array_tz jsonb_path_query_first jsonb_path_query_first_tz "
    "jsonb_path_query_tz jsonb_populate_record jsonb_populate_recordset jsonb_pretty jsonb_set "
    "jsonb_set_lax jsonb_strip_nulls jsonb_to_record jsonb_to_recordset jsonb_to_tsvector jsonb_typeof "
    "justify_days justify_hours justify_interval lag last_value lastval lateral lcm lead least left "
    "length lgamma like limit line ln lo_get localtime localtimestamp log log10 lower lower_inc "
    "lower_inf lpad lseg ltrim make_date make_interval make_time make_timestamp make_timestamptz "
    "masklen materialized max md5 min min_scale mod mode money multirange mxid_age name nchar netmask "
    "network normalize not now npoints nth_value ntile nullif num_nonnulls num_nulls numeric "
    "nummultirange numnode numrange obj_description octet_length offset on only operator or over "
    "overlaps overlay ",
    " parse_ident passing path percent_rank percentile_cont percentile_disc pg_advisory_lock "
    "pg_advisory_lock_shared pg_advisory_unlock pg_advisory_unlock_all pg_advisory_unlock_shared "
    "pg_advisory_xact_lock pg_advisory_xact_lock_shared pg_available_extension_versions "
    "pg_available_extensions pg_backend_pid pg_blocking_pids pg_cancel_backend pg_char_to_encoding "
    "pg_client_encoding pg_collation_for pg_collation_is_visible pg_column_compression "
    "pg_column_is_updatable pg_column_size pg_conf_load_time pg_config pg_control_checkpoint "
    "pg_control_init pg_control_recovery pg_control_system pg_conversion_is_visible "
    "pg_current_snapshot pg_current_wal_flush_lsn pg_current_wal_insert_lsn pg_current_wal_lsn "
    "pg_current_xact_id pg_current_xact_id_if_assigned pg_database_size pg_describe_object "
    "pg_encoding_max_length pg_encoding_to_char pg_extension_update_paths pg_filenode_relation "
    "pg_function_is_visible pg_get_catalog_foreign_keys pg_get_constraintdef pg_get_expr "
    "pg_get_function_arg_default pg_get_function_arguments pg_get_function_identity_arguments "
    "pg_get_function_result pg_get_function_sqlbody pg_get_functiondef pg_get_indexdef pg_get_keywords "
    "pg_get_object_address pg_get_partition_constraintdef pg_get_partkeydef pg_get_publication_tables "
    "pg_get_replica_identity_index pg_get_replication_slots pg_get_ruledef pg_get_serial_sequence "
    "pg_get_statisticsobjdef pg_get_statisticsobjdef_columns pg_get_statisticsobjdef_expressions "
    "pg_get_triggerdef pg_get_userbyid pg_get_viewdef pg_has_role pg_identify_object "
    "pg_identify_object_as_address pg_index_column_has_property pg_index_has_property "
    "pg_indexam_has_property pg_indexes_size pg_is_in_recovery pg_is_other_temp_schema "
    "pg_is_wal_replay_paused pg_jit_available pg_last_committed_xact pg_last_wal_receive_lsn "
    "pg_last_wal_replay_lsn pg_last_xact_replay_timestamp pg_listening_channels pg_lock_status "
    "pg_ls_dir pg_lsn pg_my_temp_schema pg_notification_queue_usage pg_opclass_is_visible "
    "pg_operator_is_visible pg_opfamily_is_visible pg_options_to_table pg_partition_ancestors "
    "pg_partition_root pg_partition_tree pg_postmaster_start_time pg_read_binary_file pg_read_file "
    "pg_relation_filenode pg_relation_filepath pg_relation_is_publishable pg_relation_is_updatable "
    "pg_relation_size pg_replication_origin_oid pg_safe_snapshot_blocking_pids pg_sequence_last_value "
    "pg_sequence_parameters pg_settings_get_flags pg_size_bytes pg_size_pretty pg_sleep pg_sleep_for "
    "pg_sleep_until pg_snapshot_xip pg_snapshot_xmax pg_snapshot_xmin pg_stat_file "
    "pg_statistics_obj_is_visible pg_table_is_visible pg_table_size pg_tablespace_databases "
    "pg_tablespace_location pg_tablespace_size pg_terminate_backend pg_timezone_abbrevs "
    "pg_timezone_names pg_total_relation_size pg_trigger_depth pg_try_advisory_lock "
    "pg_try_advisory_lock_shared pg_try_advisory_xact_lock pg_try_advisory_xact_lock_shared "
    "pg_ts_config_is_visible pg_ts_dict_is_visible pg_ts_parser_is_visible pg_ts_template_is_visible "
    "pg_type_is_visible pg_typeof pg_visible_in_snapshot pg_wal_lsn_diff pg_walfile_name "
    "pg_walfile_name_offset pg_xact_commit_timestamp pg_xact_status phraseto_tsquery pi "
    "plainto_tsquery point polygon position pow power precision ",
    " quote_ident quote_literal quote_nullable radians radius random random_normal range_agg "
    "range_intersect_agg range_merge rank real regclass regexp_count regexp_instr regexp_like "
    "regexp_match regexp_matches regexp_replace regexp_split_to_array regexp_split_to_table "
    "regexp_substr regr_avgx regr_avgy regr_count regr_intercept regr_r2 regr_slope regr_sxx regr_sxy "
    "regr_syy repeat replace reverse right rollup round row row_number row_security_active row_to_json "
    "rpad rtrim scale select session_user set_bit set_byte set_config set_masklen sets setseed "
    "setweight sha224 sha256 sha384 sha512 shobj_description sign similar similar_escape sin sind sinh "
    "slope smallint some split_part sqrt statement_timestamp stddev stddev_pop stddev_samp string_agg "
    "string_to_array string_to_table strip strpos substr substring sum symmetric system tan tand tanh "
    "text then time timeofday timestamp timestamptz timetz timezone to_ascii to_bin to_char to_date "
    "to_hex to_json to_jsonb to_number to_oct to_regclass to_regcollation to_regnamespace to_regoper "
    "to_regoperator to_regproc to_regprocedure to_regrole to_regtype to_timestamp to_tsquery "
    "to_tsvector transaction_timestamp translate trim trim_array trim_scale trunc ts_debug ts_delete "
    "ts_filter ts_headline ts_lexize ts_parse ts_rank ts_rank_cd ts_token_type tsmultirange tsrange "
    "tstzmultirange tstzrange tsvector_to_array txid_current txid_current_if_assigned "
    "txid_current_snapshot txid_snapshot_xip txid_snapshot_xmax txid_snapshot_xmin txid_status "
    "txid_visible_in_snapshot union unistr unnest upper upper_inc upper_inf using uuid "
    "uuid_extract_timestamp uuid_extract_version uuidv4 uuidv7 values var_pop var_samp varbit varchar "
    "variance varying version websearch_to_tsquery when where width width_bucket with xml "
    "xml_is_well_formed xml_is_well_formed_content xml_is_well_formed_document xmlagg xmlattributes "
    "xmlcomment xmlconcat xmlelement xmlexists xmlforest xmlparse xmlpi xmlroot xmlserialize xmltable "
    "xmlvalidate xpath xpath_exists zone "};

bool weir__pg_is_harmless(const char *text, size_t length) {
    char name[64 + 3] = " "; /* the server's own are no longer */
    if (length > sizeof name - 3) return false;
    for (size_t i = 0; i < length; i++) {
        char c = text[i];
        name[i + 1] = c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
    }
    name[length + 1] = ' ';
    for (size_t i = 0; i < sizeof harmless / sizeof *harmless; i++)
        if (strstr(harmless[i], name)) return true;
    return false;
}
