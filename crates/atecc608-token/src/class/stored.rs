// SPDX-License-Identifier: MIT OR Apache-2.0
//! Certificates and data objects: in the state folder, in slot 8, and as copies in sessions.

use cryptoki_sys::*;

use super::{no_validation, number, text, yes_or_no, Answer, Change, Class, NeverNew, Row, Ways};
use crate::certificate::{self, CertificateFields};
use crate::state::StoredObject;
use crate::template::ulong_value;

impl StoredObject {
    fn permits(&self, permission: CK_ATTRIBUTE_TYPE) -> Answer {
        yes_or_no(!self.kept.denies(permission))
    }

    fn kept(&self, attribute: CK_ATTRIBUTE_TYPE) -> Answer {
        Answer::Value(self.kept.get(attribute).unwrap_or_default().to_vec())
    }

    fn kept_number(&self, attribute: CK_ATTRIBUTE_TYPE, default: CK_ULONG) -> Answer {
        Answer::Value(self.kept.get(attribute).map_or_else(|| ulong_value(default), <[u8]>::to_vec))
    }

    /// Returns the template's date, else the certificate's own.
    fn date(&self, attribute: CK_ATTRIBUTE_TYPE, own: fn(CertificateFields) -> Vec<u8>) -> Answer {
        match self.kept.get(attribute) {
            Some(given) => Answer::Value(given.to_vec()),
            None => self.field(own),
        }
    }

    /// Returns a field of the certificate.
    fn field(&self, field: fn(CertificateFields) -> Vec<u8>) -> Answer {
        match certificate::parse(&self.value) {
            Ok(fields) => Answer::Value(field(fields)),
            Err(error) => Answer::Error(error),
        }
    }
}

/// CKA_CHECK_VALUE of a certificate: the first bytes of its SHA-1.
pub(crate) fn certificate_check_value(value: &[u8]) -> Vec<u8> {
    use sha1::Digest;
    sha1::Sha1::digest(value)[..3].to_vec()
}

/// CKO_CERTIFICATE.
pub(crate) enum Certificate {}

impl Class for Certificate {
    type Object<'a> = StoredObject;
    type New<'a> = NeverNew;

    const ROWS: &'static [Row<Self>] = &[
        Row::<Self>::read(CKA_CLASS, |_| number(CKO_CERTIFICATE)).given(Ways::CREATE),
        Row::<Self>::read(CKA_CERTIFICATE_TYPE, |_| number(CKC_X_509)).given(Ways::CREATE),
        Row::<Self>::read(CKA_TOKEN, |_| yes_or_no(true)).given(Ways::CREATE),
        Row::<Self>::read(CKA_PRIVATE, |_| yes_or_no(false)).given(Ways::CREATE),
        Row::<Self>::read(CKA_MODIFIABLE, |object| object.permits(CKA_MODIFIABLE)).given(Ways::CREATE).kept(),
        Row::<Self>::read(CKA_DESTROYABLE, |object| object.permits(CKA_DESTROYABLE))
            .given(Ways::CREATE)
            .kept()
            .changes(Change::Freely),
        Row::<Self>::read(CKA_COPYABLE, |object| object.permits(CKA_COPYABLE))
            .given(Ways::CREATE)
            .kept()
            .changes(Change::InSessionTo(false)),
        Row::<Self>::read(CKA_OBJECT_VALIDATION_FLAGS, |_| no_validation()),
        Row::<Self>::read(CKA_LABEL, |object| text(&object.label)).given(Ways::CREATE).changes(Change::Freely),
        Row::<Self>::read(CKA_ID, |object| Answer::Value(object.id.clone()))
            .given(Ways::CREATE)
            .changes(Change::Freely),
        Row::<Self>::read(CKA_UNIQUE_ID, |object| text(&object.unique_id)),
        Row::<Self>::read(CKA_VALUE, |object| Answer::Value(object.value.clone())).given(Ways::CREATE),
        Row::<Self>::read(CKA_CHECK_VALUE, |object| Answer::Value(certificate_check_value(&object.value)))
            .given(Ways::CREATE),
        Row::<Self>::read(CKA_TRUSTED, |_| yes_or_no(false)).given(Ways::CREATE),
        // Those of a template are ignored: the values come from the certificate.
        Row::<Self>::read(CKA_SUBJECT, |object| object.field(|fields| fields.subject)).given(Ways::CREATE),
        Row::<Self>::read(CKA_ISSUER, |object| object.field(|fields| fields.issuer)).given(Ways::CREATE),
        Row::<Self>::read(CKA_SERIAL_NUMBER, |object| object.field(|fields| fields.serial_number)).given(Ways::CREATE),
        Row::<Self>::read(CKA_PUBLIC_KEY_INFO, |object| object.field(|fields| fields.public_key_info))
            .given(Ways::CREATE),
        Row::<Self>::read(CKA_START_DATE, |object| object.date(CKA_START_DATE, |fields| fields.start_date))
            .given(Ways::CREATE)
            .kept(),
        Row::<Self>::read(CKA_END_DATE, |object| object.date(CKA_END_DATE, |fields| fields.end_date))
            .given(Ways::CREATE)
            .kept(),
        Row::<Self>::read(CKA_CERTIFICATE_CATEGORY, |object| {
            object.kept_number(CKA_CERTIFICATE_CATEGORY, CK_CERTIFICATE_CATEGORY_UNSPECIFIED)
        })
        .given(Ways::CREATE)
        .kept(),
        Row::<Self>::read(CKA_URL, |object| object.kept(CKA_URL)).given(Ways::CREATE).kept(),
        Row::<Self>::read(CKA_HASH_OF_SUBJECT_PUBLIC_KEY, |object| object.kept(CKA_HASH_OF_SUBJECT_PUBLIC_KEY))
            .given(Ways::CREATE)
            .kept(),
        Row::<Self>::read(CKA_HASH_OF_ISSUER_PUBLIC_KEY, |object| object.kept(CKA_HASH_OF_ISSUER_PUBLIC_KEY))
            .given(Ways::CREATE)
            .kept(),
        Row::<Self>::read(CKA_JAVA_MIDP_SECURITY_DOMAIN, |object| {
            object.kept_number(CKA_JAVA_MIDP_SECURITY_DOMAIN, CK_SECURITY_DOMAIN_UNSPECIFIED)
        })
        .given(Ways::CREATE)
        .kept(),
        Row::<Self>::read(CKA_NAME_HASH_ALGORITHM, |object| object.kept_number(CKA_NAME_HASH_ALGORITHM, CKM_SHA_1))
            .given(Ways::CREATE)
            .kept(),
    ];
}

/// CKO_DATA.
pub(crate) enum Data {}

impl Class for Data {
    type Object<'a> = StoredObject;
    type New<'a> = NeverNew;

    const ROWS: &'static [Row<Self>] = &[
        Row::<Self>::read(CKA_CLASS, |_| number(CKO_DATA)).given(Ways::CREATE),
        Row::<Self>::read(CKA_TOKEN, |_| yes_or_no(true)).given(Ways::CREATE),
        Row::<Self>::read(CKA_PRIVATE, |_| yes_or_no(false)).given(Ways::CREATE),
        Row::<Self>::read(CKA_MODIFIABLE, |object| object.permits(CKA_MODIFIABLE)).given(Ways::CREATE).kept(),
        Row::<Self>::read(CKA_DESTROYABLE, |object| object.permits(CKA_DESTROYABLE))
            .given(Ways::CREATE)
            .kept()
            .changes(Change::Freely),
        Row::<Self>::read(CKA_COPYABLE, |object| object.permits(CKA_COPYABLE))
            .given(Ways::CREATE)
            .kept()
            .changes(Change::InSessionTo(false)),
        Row::<Self>::read(CKA_OBJECT_VALIDATION_FLAGS, |_| no_validation()),
        Row::<Self>::read(CKA_LABEL, |object| text(&object.label)).given(Ways::CREATE).changes(Change::Freely),
        Row::<Self>::read(CKA_UNIQUE_ID, |object| text(&object.unique_id)),
        Row::<Self>::read(CKA_APPLICATION, |object| text(&object.application))
            .given(Ways::CREATE)
            .changes(Change::Freely),
        Row::<Self>::read(CKA_OBJECT_ID, |object| Answer::Value(object.id.clone()))
            .given(Ways::CREATE)
            .changes(Change::Freely),
        Row::<Self>::read(CKA_VALUE, |object| Answer::Value(object.value.clone()))
            .given(Ways::CREATE)
            .changes(Change::Freely),
    ];
}

impl StoredObject {
    /// Returns the value of an attribute.
    pub(crate) fn attribute(&self, attribute: CK_ATTRIBUTE_TYPE) -> crate::error::Result<Vec<u8>> {
        match self.class {
            crate::state::StoredClass::Certificate => super::value::<Certificate>(self, attribute),
            crate::state::StoredClass::Data => super::value::<Data>(self, attribute),
            crate::state::StoredClass::PublicKey => crate::public_key::attributes(self)?
                .bytes(attribute)
                .map(<[u8]>::to_vec)
                .ok_or(crate::error::Error::AttributeTypeInvalid(attribute)),
        }
    }
}
