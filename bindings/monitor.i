/* The concept "monitor": alerts, slow statements, history. */
%include "weirpool/monitor.h"
