/* All of Weirpool's C interface. */
#ifndef WEIRPOOL_WEIRPOOL_H
#define WEIRPOOL_WEIRPOOL_H

#include <weirpool/batch.h>
#include <weirpool/breaker.h>
#include <weirpool/copy.h>
#include <weirpool/error.h>
#include <weirpool/health.h>
#include <weirpool/holder.h>
#include <weirpool/listener.h>
#include <weirpool/log.h>
#include <weirpool/metrics.h>
#include <weirpool/monitor.h>
#include <weirpool/notice.h>
#include <weirpool/option.h>
#include <weirpool/options.h>
#include <weirpool/pool.h>
#include <weirpool/reactor.h>
#include <weirpool/result.h>
#include <weirpool/retry.h>
#include <weirpool/session.h>
#include <weirpool/snapshot.h>
#include <weirpool/statement.h>
#include <weirpool/stream.h>
#include <weirpool/value.h>
#include <weirpool/version.h>

#endif
