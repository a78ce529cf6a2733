/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Options of Microchip's library for scripts/performance/vendor_module.sh: CMake writes such a file, but its inputs are
 * not in the source distribution. ATECC508A and ATECC608 over I2C under Linux, without another cryptographic library.
 */
#ifndef ATCA_CONFIG_H
#define ATCA_CONFIG_H

#define ATCA_HAL_I2C
/* pkcs11_key.c needs its types. */
#define ATCA_ATECC508A_SUPPORT
#define ATCA_ATECC608_SUPPORT
#define ATCA_TA_SUPPORT 0
#define ATCA_CHECK_PARAMS_EN 1
#define ATCA_PREPROCESSOR_WARNING 0
#define ATCA_POST_DELAY_MSEC 25
#define ATCACERT_COMPCERT_EN 1
#define ATCACERT_FULLSTOREDCERT_EN 1
#define ATCACERT_INTEGRATION_EN 0
#define CALIB_DELETE_EN 0
#define MULTIPART_BUF_EN 0
#define ATCAC_SHA384_EN 0
#define ATCAC_SHA512_EN 0

#define ATCA_PLATFORM_MALLOC malloc
#define ATCA_PLATFORM_FREE free
#define ATCA_PLATFORM_STRCASESTR strcasestr
#define atca_delay_ms hal_delay_ms
#define atca_delay_us hal_delay_us

#endif
