/* The URL of a database, cut into its parts. */
#ifndef WEIR_CONFIG_URL_H
#define WEIR_CONFIG_URL_H

#include "config/config.h"

/*
 * Fills in scheme, user, password, database, endpoints, parameters (all pairs of the query, pool options
 * among them) and options.url (the URL without what is secret). WEIR_EOPTION, WEIR_ENOMEM: what was filled in
 * stays, for weir__config_free. A message shows parts of the URL only where no piece of a password can have
 * come to lie.
 */
int weir__url_parse(const char *url, weir__config *config, weir_error *error);

/* The value of a pair of the query, NULL when there is none. */
const char *weir__url_parameter(const weir__config *config, const char *name);
/* Whether the pair holds something secret, such as password=… or a whole DSN in dbname=…. */
bool weir__url_secret(const weir__pair *pair);
/* Whether any pair does: a raw '&' in a password may have made a pair of its tail, so that none is fit to be
 * shown. */
bool weir__url_secrets(const weir__config *config);

#endif
