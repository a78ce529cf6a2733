/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Options of Microchip's PKCS#11 module for scripts/performance/vendor_module.sh, and the declarations that its source
 * expects beside them: the template of this file is not in the source distribution. The limits are the defaults: a
 * slot, 10 sessions, 16 objects, 5 cached keys and certificates.
 */
#ifndef PKCS11_CONFIG_H
#define PKCS11_CONFIG_H

#include <stddef.h>

#include "cryptoki.h"

#define PKCS11_USE_STATIC_CONFIG 0
#define PKCS11_EXTERNAL_FUNCTION_LIST 0
#define PKCS11_DEBUG_ENABLE 0
#define PKCS11_TOKEN_INIT_SUPPORT 0
#define PKCS11_LOCK_PIN_SLOT 0
#define PKCS11_MONOTONIC_ENABLE 0
#define PKCS11_AUTO_ID_ENABLE 1
#define PKCS11_608_SUPPORT 1

#define PKCS11_MAX_SLOTS_ALLOWED 1
#define PKCS11_MAX_SESSIONS_ALLOWED 10
#define PKCS11_MAX_OBJECTS_ALLOWED 16
#define PKCS11_MAX_KEYS_CACHED 5
#define PKCS11_MAX_CERTS_CACHED 5
#define PKCS11_MAX_LABEL_SIZE 30
#define PKCS11_MAX_CONFIG_ALLOWED 4
#define MAX_CONF_FILES 16
#define MAX_CONF_FILE_NAME_SIZE 16

typedef struct pkcs11_lib_ctx_s *pkcs11_lib_ctx_ptr;
typedef struct pkcs11_slot_ctx_s *pkcs11_slot_ctx_ptr;
typedef struct pkcs11_object_s *pkcs11_object_ptr;

CK_RV pkcs11_config_load(pkcs11_slot_ctx_ptr slot);
CK_RV pkcs11_config_load_objects(pkcs11_slot_ctx_ptr slot);
CK_RV pkcs11_config_key(pkcs11_lib_ctx_ptr library, pkcs11_slot_ctx_ptr slot, pkcs11_object_ptr object, CK_ATTRIBUTE_PTR label);
CK_RV pkcs11_config_cert(pkcs11_lib_ctx_ptr library, pkcs11_slot_ctx_ptr slot, pkcs11_object_ptr object, CK_ATTRIBUTE_PTR label);
CK_RV pkcs11_config_remove_object(pkcs11_lib_ctx_ptr library, pkcs11_slot_ctx_ptr slot, pkcs11_object_ptr object);
void pkcs11_config_init_private(pkcs11_object_ptr object, const char *label, size_t length);
void pkcs11_config_init_public(pkcs11_object_ptr object, const char *label, size_t length);
void pkcs11_config_init_secret(pkcs11_object_ptr object, const char *label, size_t length, size_t key_length);
void pkcs11_config_init_cert(pkcs11_object_ptr object, const char *label, size_t length);
void pkcs11_config_split_string(char *text, char separator, int *count, char *parts[]);

#endif
