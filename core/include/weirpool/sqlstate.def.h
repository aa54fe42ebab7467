/* PostgreSQL's SQLSTATEs as exception classes, by core/src/base/sqlstate.py from errcodes.txt. */
/* clang-format off */
#ifndef WEIRPOOL_SQLSTATE_DEF_H
#define WEIRPOOL_SQLSTATE_DEF_H

/* X(sqlstate, class, parent), sorted by sqlstate. */
#define WEIR_SQLSTATES(X) \
    X("03000", SqlStatementNotYetComplete, DatabaseError) \
    X("08000", ConnectionException, OperationalError) \
    X("08001", SqlclientUnableToEstablishSqlconnection, OperationalError) \
    X("08003", ConnectionDoesNotExist, OperationalError) \
    X("08004", SqlserverRejectedEstablishmentOfSqlconnection, OperationalError) \
    X("08006", ConnectionFailure, OperationalError) \
    X("08007", TransactionResolutionUnknown, OperationalError) \
    X("08P01", ProtocolViolation, OperationalError) \
    X("09000", TriggeredActionException, DatabaseError) \
    X("0A000", FeatureNotSupported, NotSupportedError) \
    X("0B000", InvalidTransactionInitiation, DatabaseError) \
    X("0F000", LocatorException, DatabaseError) \
    X("0F001", InvalidLocatorSpecification, DatabaseError) \
    X("0L000", InvalidGrantor, DatabaseError) \
    X("0LP01", InvalidGrantOperation, DatabaseError) \
    X("0P000", InvalidRoleSpecification, DatabaseError) \
    X("0Z000", DiagnosticsException, DatabaseError) \
    X("0Z002", StackedDiagnosticsAccessedWithoutActiveHandler, DatabaseError) \
    X("20000", CaseNotFound, ProgrammingError) \
    X("21000", CardinalityViolation, ProgrammingError) \
    X("22000", DataException, DataError) \
    X("22001", StringDataRightTruncation, DataError) \
    X("22002", NullValueNoIndicatorParameter, DataError) \
    X("22003", NumericValueOutOfRange, DataError) \
    X("22004", NullValueNotAllowed, DataError) \
    X("22005", ErrorInAssignment, DataError) \
    X("22007", InvalidDatetimeFormat, DataError) \
    X("22008", DatetimeFieldOverflow, DataError) \
    X("22009", InvalidTimeZoneDisplacementValue, DataError) \
    X("2200B", EscapeCharacterConflict, DataError) \
    X("2200C", InvalidUseOfEscapeCharacter, DataError) \
    X("2200D", InvalidEscapeOctet, DataError) \
    X("2200F", ZeroLengthCharacterString, DataError) \
    X("2200G", MostSpecificTypeMismatch, DataError) \
    X("2200H", SequenceGeneratorLimitExceeded, DataError) \
    X("2200L", NotAnXmlDocument, DataError) \
    X("2200M", InvalidXmlDocument, DataError) \
    X("2200N", InvalidXmlContent, DataError) \
    X("2200S", InvalidXmlComment, DataError) \
    X("2200T", InvalidXmlProcessingInstruction, DataError) \
    X("22010", InvalidIndicatorParameterValue, DataError) \
    X("22011", SubstringError, DataError) \
    X("22012", DivisionByZero, DataError) \
    X("22013", InvalidPrecedingOrFollowingSize, DataError) \
    X("22014", InvalidArgumentForNtileFunction, DataError) \
    X("22015", IntervalFieldOverflow, DataError) \
    X("22016", InvalidArgumentForNthValueFunction, DataError) \
    X("22018", InvalidCharacterValueForCast, DataError) \
    X("22019", InvalidEscapeCharacter, DataError) \
    X("2201B", InvalidRegularExpression, DataError) \
    X("2201E", InvalidArgumentForLogarithm, DataError) \
    X("2201F", InvalidArgumentForPowerFunction, DataError) \
    X("2201G", InvalidArgumentForWidthBucketFunction, DataError) \
    X("2201W", InvalidRowCountInLimitClause, DataError) \
    X("2201X", InvalidRowCountInResultOffsetClause, DataError) \
    X("22021", CharacterNotInRepertoire, DataError) \
    X("22022", IndicatorOverflow, DataError) \
    X("22023", InvalidParameterValue, DataError) \
    X("22024", UnterminatedCString, DataError) \
    X("22025", InvalidEscapeSequence, DataError) \
    X("22026", StringDataLengthMismatch, DataError) \
    X("22027", TrimError, DataError) \
    X("2202E", ArraySubscriptError, DataError) \
    X("2202G", InvalidTablesampleRepeat, DataError) \
    X("2202H", InvalidTablesampleArgument, DataError) \
    X("22030", DuplicateJsonObjectKeyValue, DataError) \
    X("22031", InvalidArgumentForSqlJsonDatetimeFunction, DataError) \
    X("22032", InvalidJsonText, DataError) \
    X("22033", InvalidSqlJsonSubscript, DataError) \
    X("22034", MoreThanOneSqlJsonItem, DataError) \
    X("22035", NoSqlJsonItem, DataError) \
    X("22036", NonNumericSqlJsonItem, DataError) \
    X("22037", NonUniqueKeysInAJsonObject, DataError) \
    X("22038", SingletonSqlJsonItemRequired, DataError) \
    X("22039", SqlJsonArrayNotFound, DataError) \
    X("2203A", SqlJsonMemberNotFound, DataError) \
    X("2203B", SqlJsonNumberNotFound, DataError) \
    X("2203C", SqlJsonObjectNotFound, DataError) \
    X("2203D", TooManyJsonArrayElements, DataError) \
    X("2203E", TooManyJsonObjectMembers, DataError) \
    X("2203F", SqlJsonScalarRequired, DataError) \
    X("2203G", SqlJsonItemCannotBeCastToTargetType, DataError) \
    X("22P01", FloatingPointException, DataError) \
    X("22P02", InvalidTextRepresentation, DataError) \
    X("22P03", InvalidBinaryRepresentation, DataError) \
    X("22P04", BadCopyFileFormat, DataError) \
    X("22P05", UntranslatableCharacter, DataError) \
    X("22P06", NonstandardUseOfEscapeCharacter, DataError) \
    X("23000", IntegrityConstraintViolation, IntegrityError) \
    X("23001", RestrictViolation, IntegrityError) \
    X("23502", NotNullViolation, IntegrityError) \
    X("23503", ForeignKeyViolation, IntegrityError) \
    X("23505", UniqueViolation, IntegrityError) \
    X("23514", CheckViolation, IntegrityError) \
    X("23P01", ExclusionViolation, IntegrityError) \
    X("24000", InvalidCursorState, InternalError) \
    X("25000", InvalidTransactionState, InternalError) \
    X("25001", ActiveSqlTransaction, InternalError) \
    X("25002", BranchTransactionAlreadyActive, InternalError) \
    X("25003", InappropriateAccessModeForBranchTransaction, InternalError) \
    X("25004", InappropriateIsolationLevelForBranchTransaction, InternalError) \
    X("25005", NoActiveSqlTransactionForBranchTransaction, InternalError) \
    X("25006", ReadOnlySqlTransaction, InternalError) \
    X("25007", SchemaAndDataStatementMixingNotSupported, InternalError) \
    X("25008", HeldCursorRequiresSameIsolationLevel, InternalError) \
    X("25P01", NoActiveSqlTransaction, InternalError) \
    X("25P02", InFailedSqlTransaction, InternalError) \
    X("25P03", IdleInTransactionSessionTimeout, InternalError) \
    X("26000", InvalidSqlStatementName, ProgrammingError) \
    X("27000", TriggeredDataChangeViolation, OperationalError) \
    X("28000", InvalidAuthorizationSpecification, ConnectError) \
    X("28P01", InvalidPassword, ConnectError) \
    X("2B000", DependentPrivilegeDescriptorsStillExist, InternalError) \
    X("2BP01", DependentObjectsStillExist, InternalError) \
    X("2D000", InvalidTransactionTermination, InternalError) \
    X("2F000", SqlRoutineException, OperationalError) \
    X("2F002", ModifyingSqlDataNotPermitted, OperationalError) \
    X("2F003", ProhibitedSqlStatementAttempted, OperationalError) \
    X("2F004", ReadingSqlDataNotPermitted, OperationalError) \
    X("2F005", FunctionExecutedNoReturnStatement, OperationalError) \
    X("34000", InvalidCursorName, ProgrammingError) \
    X("38000", ExternalRoutineException, OperationalError) \
    X("38001", ContainingSqlNotPermitted, OperationalError) \
    X("38002", ModifyingSqlDataNotPermittedExt, OperationalError) \
    X("38003", ProhibitedSqlStatementAttemptedExt, OperationalError) \
    X("38004", ReadingSqlDataNotPermittedExt, OperationalError) \
    X("39000", ExternalRoutineInvocationException, OperationalError) \
    X("39001", InvalidSqlstateReturned, OperationalError) \
    X("39004", NullValueNotAllowedExt, OperationalError) \
    X("39P01", TriggerProtocolViolated, OperationalError) \
    X("39P02", SrfProtocolViolated, OperationalError) \
    X("39P03", EventTriggerProtocolViolated, OperationalError) \
    X("3B000", SavepointException, OperationalError) \
    X("3B001", InvalidSavepointSpecification, OperationalError) \
    X("3D000", InvalidCatalogName, ProgrammingError) \
    X("3F000", InvalidSchemaName, ProgrammingError) \
    X("40000", TransactionRollback, OperationalError) \
    X("40001", SerializationFailure, OperationalError) \
    X("40002", TransactionIntegrityConstraintViolation, OperationalError) \
    X("40003", StatementCompletionUnknown, OperationalError) \
    X("40P01", DeadlockDetected, OperationalError) \
    X("42000", SyntaxErrorOrAccessRuleViolation, ProgrammingError) \
    X("42501", InsufficientPrivilege, ProgrammingError) \
    X("42601", SyntaxError, ProgrammingError) \
    X("42602", InvalidName, ProgrammingError) \
    X("42611", InvalidColumnDefinition, ProgrammingError) \
    X("42622", NameTooLong, ProgrammingError) \
    X("42701", DuplicateColumn, ProgrammingError) \
    X("42702", AmbiguousColumn, ProgrammingError) \
    X("42703", UndefinedColumn, ProgrammingError) \
    X("42704", UndefinedObject, ProgrammingError) \
    X("42710", DuplicateObject, ProgrammingError) \
    X("42712", DuplicateAlias, ProgrammingError) \
    X("42723", DuplicateFunction, ProgrammingError) \
    X("42725", AmbiguousFunction, ProgrammingError) \
    X("42803", GroupingError, ProgrammingError) \
    X("42804", DatatypeMismatch, ProgrammingError) \
    X("42809", WrongObjectType, ProgrammingError) \
    X("42830", InvalidForeignKey, ProgrammingError) \
    X("42846", CannotCoerce, ProgrammingError) \
    X("42883", UndefinedFunction, ProgrammingError) \
    X("428C9", GeneratedAlways, ProgrammingError) \
    X("42939", ReservedName, ProgrammingError) \
    X("42P01", UndefinedTable, ProgrammingError) \
    X("42P02", UndefinedParameter, ProgrammingError) \
    X("42P03", DuplicateCursor, ProgrammingError) \
    X("42P04", DuplicateDatabase, ProgrammingError) \
    X("42P05", DuplicatePreparedStatement, ProgrammingError) \
    X("42P06", DuplicateSchema, ProgrammingError) \
    X("42P07", DuplicateTable, ProgrammingError) \
    X("42P08", AmbiguousParameter, ProgrammingError) \
    X("42P09", AmbiguousAlias, ProgrammingError) \
    X("42P10", InvalidColumnReference, ProgrammingError) \
    X("42P11", InvalidCursorDefinition, ProgrammingError) \
    X("42P12", InvalidDatabaseDefinition, ProgrammingError) \
    X("42P13", InvalidFunctionDefinition, ProgrammingError) \
    X("42P14", InvalidPreparedStatementDefinition, ProgrammingError) \
    X("42P15", InvalidSchemaDefinition, ProgrammingError) \
    X("42P16", InvalidTableDefinition, ProgrammingError) \
    X("42P17", InvalidObjectDefinition, ProgrammingError) \
    X("42P18", IndeterminateDatatype, ProgrammingError) \
    X("42P19", InvalidRecursion, ProgrammingError) \
    X("42P20", WindowingError, ProgrammingError) \
    X("42P21", CollationMismatch, ProgrammingError) \
    X("42P22", IndeterminateCollation, ProgrammingError) \
    X("44000", WithCheckOptionViolation, ProgrammingError) \
    X("53000", InsufficientResources, OperationalError) \
    X("53100", DiskFull, OperationalError) \
    X("53200", ServerOutOfMemory, OutOfMemory) \
    X("53300", TooManyConnections, OperationalError) \
    X("53400", ConfigurationLimitExceeded, OperationalError) \
    X("54000", ProgramLimitExceeded, OperationalError) \
    X("54001", StatementTooComplex, OperationalError) \
    X("54011", TooManyColumns, OperationalError) \
    X("54023", TooManyArguments, OperationalError) \
    X("55000", ObjectNotInPrerequisiteState, OperationalError) \
    X("55006", ObjectInUse, OperationalError) \
    X("55P02", CantChangeRuntimeParam, OperationalError) \
    X("55P03", LockNotAvailable, LockTimeout) \
    X("55P04", UnsafeNewEnumValueUsage, OperationalError) \
    X("57000", OperatorIntervention, OperationalError) \
    X("57014", QueryCanceled, OperationalError) \
    X("57P01", AdminShutdown, OperationalError) \
    X("57P02", CrashShutdown, OperationalError) \
    X("57P03", CannotConnectNow, OperationalError) \
    X("57P04", DatabaseDropped, OperationalError) \
    X("57P05", IdleSessionTimeout, OperationalError) \
    X("58000", SystemError, OperationalError) \
    X("58030", IoError, OperationalError) \
    X("58P01", UndefinedFile, OperationalError) \
    X("58P02", DuplicateFile, OperationalError) \
    X("72000", SnapshotTooOld, DatabaseError) \
    X("F0000", ConfigFileError, OperationalError) \
    X("F0001", LockFileExists, OperationalError) \
    X("HV000", FdwError, OperationalError) \
    X("HV001", FdwOutOfMemory, OperationalError) \
    X("HV002", FdwDynamicParameterValueNeeded, OperationalError) \
    X("HV004", FdwInvalidDataType, OperationalError) \
    X("HV005", FdwColumnNameNotFound, OperationalError) \
    X("HV006", FdwInvalidDataTypeDescriptors, OperationalError) \
    X("HV007", FdwInvalidColumnName, OperationalError) \
    X("HV008", FdwInvalidColumnNumber, OperationalError) \
    X("HV009", FdwInvalidUseOfNullPointer, OperationalError) \
    X("HV00A", FdwInvalidStringFormat, OperationalError) \
    X("HV00B", FdwInvalidHandle, OperationalError) \
    X("HV00C", FdwInvalidOptionIndex, OperationalError) \
    X("HV00D", FdwInvalidOptionName, OperationalError) \
    X("HV00J", FdwOptionNameNotFound, OperationalError) \
    X("HV00K", FdwReplyHandle, OperationalError) \
    X("HV00L", FdwUnableToCreateExecution, OperationalError) \
    X("HV00M", FdwUnableToCreateReply, OperationalError) \
    X("HV00N", FdwUnableToEstablishConnection, OperationalError) \
    X("HV00P", FdwNoSchemas, OperationalError) \
    X("HV00Q", FdwSchemaNotFound, OperationalError) \
    X("HV00R", FdwTableNotFound, OperationalError) \
    X("HV010", FdwFunctionSequenceError, OperationalError) \
    X("HV014", FdwTooManyHandles, OperationalError) \
    X("HV021", FdwInconsistentDescriptorInformation, OperationalError) \
    X("HV024", FdwInvalidAttributeValue, OperationalError) \
    X("HV090", FdwInvalidStringLengthOrBufferLength, OperationalError) \
    X("HV091", FdwInvalidDescriptorFieldIdentifier, OperationalError) \
    X("P0000", PlpgsqlError, ProgrammingError) \
    X("P0001", RaiseException, DatabaseError) \
    X("P0002", NoDataFound, ProgrammingError) \
    X("P0003", TooManyRows, ProgrammingError) \
    X("P0004", AssertFailure, ProgrammingError) \
    X("XX000", InternalError_, InternalError) \
    X("XX001", DataCorrupted, InternalError) \
    X("XX002", IndexCorrupted, InternalError)

/* X(prefix, parent): for the SQLSTATEs without a row, by their first two characters. */
#define WEIR_SQLSTATE_CLASSES(X) \
    X("08", OperationalError) \
    X("0A", NotSupportedError) \
    X("10", ProgrammingError) \
    X("20", ProgrammingError) \
    X("21", ProgrammingError) \
    X("22", DataError) \
    X("23", IntegrityError) \
    X("24", InternalError) \
    X("25", InternalError) \
    X("26", ProgrammingError) \
    X("27", OperationalError) \
    X("28", ConnectError) \
    X("2B", InternalError) \
    X("2D", InternalError) \
    X("2F", OperationalError) \
    X("34", ProgrammingError) \
    X("38", OperationalError) \
    X("39", OperationalError) \
    X("3B", OperationalError) \
    X("3D", ProgrammingError) \
    X("3F", ProgrammingError) \
    X("40", OperationalError) \
    X("42", ProgrammingError) \
    X("44", ProgrammingError) \
    X("53", OperationalError) \
    X("54", OperationalError) \
    X("55", OperationalError) \
    X("57", OperationalError) \
    X("58", OperationalError) \
    X("F0", OperationalError) \
    X("HV", OperationalError) \
    X("P0", ProgrammingError) \
    X("XX", InternalError)

#endif
