/* One interface, two languages: weirpool._core in Python, require "weirpool.core" in Lua. The concepts are the same
   headers for both; how their values cross stands in python/python.i and lua/lua.i. */
#ifdef SWIGPYTHON
%module(package="weirpool") _core /* with -interface _core: types say weirpool._core.Pool; _core.py is not shipped */
#else
%module weirpool_core /* luaopen_weirpool_core, so require "weirpool.core"; SWIG takes no dot here */
#endif
%{
#include "weirpool/weirpool.h"
%}
%include <stdint.i>
%include "weirpool/export.h"
%rename("%(strip:[weir_])s") "";
%rename("%(strip:[WEIR_])s", %$isenumitem) "";
#ifdef SWIGPYTHON
%include "python/python.i"
#else
%include "lua/lua.i"
#endif
%include "errors.i"
%include "options.i"
%include "statement.i"
%include "snapshot.i"
%include "breaker.i"
%include "reactor.i"
%include "pool.i"
%include "session.i"
%include "metrics.i"
%include "monitor.i"
%include "weirpool/version.h"
