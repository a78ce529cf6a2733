// SPDX-License-Identifier: MIT OR Apache-2.0
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.security.PrivateKey;
import java.security.Provider;
import java.security.Security;
import java.security.Signature;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLSocket;
import javax.net.ssl.TrustManagerFactory;

/**
 * A TLS client as Greengrass makes one: SunPKCS11's key store, the entry found by its label, a connection with it.
 *
 * <pre>java Tls.java SUNPKCS11-CONFIGURATION ALIAS CA PORT PROTOCOL [PIN]</pre>
 */
public class Tls {
    public static void main(String[] args) throws Exception {
        Provider provider = Security.getProvider("SunPKCS11").configure(args[0]);
        Security.addProvider(provider);
        String alias = args[1];
        char[] pin = args.length > 5 ? args[5].toCharArray() : null;
        KeyStore keys = KeyStore.getInstance("PKCS11", provider);
        keys.load(null, pin);
        if (!keys.isKeyEntry(alias)) {
            throw new IllegalStateException("no key under the alias " + alias);
        }
        X509Certificate own = (X509Certificate) keys.getCertificate(alias);
        sign((PrivateKey) keys.getKey(alias, null), own, provider);

        KeyStore trusted = KeyStore.getInstance(KeyStore.getDefaultType());
        trusted.load(null, null);
        try (InputStream ca = Files.newInputStream(Path.of(args[2]))) {
            trusted.setCertificateEntry("ca", CertificateFactory.getInstance("X.509").generateCertificate(ca));
        }
        KeyManagerFactory keyManagers = KeyManagerFactory.getInstance("PKIX");
        keyManagers.init(keys, pin);
        TrustManagerFactory trustManagers = TrustManagerFactory.getInstance("PKIX");
        trustManagers.init(trusted);
        SSLContext context = SSLContext.getInstance(args[4]);
        context.init(keyManagers.getKeyManagers(), trustManagers.getTrustManagers(), null);
        try (SSLSocket socket = (SSLSocket) context.getSocketFactory().createSocket("localhost", Integer.parseInt(args[3]))) {
            socket.setEnabledProtocols(new String[] {args[4]});
            socket.startHandshake();
            System.out.println(socket.getSession().getProtocol() + " with " + socket.getSession().getCipherSuite());
            socket.getOutputStream().write("GET / HTTP/1.0\r\n\r\n".getBytes(StandardCharsets.US_ASCII));
            System.out.println(new String(socket.getInputStream().readAllBytes(), StandardCharsets.UTF_8));
        }
    }

    /** A signature by the chip, verified by Java's own code. */
    private static void sign(PrivateKey key, X509Certificate own, Provider provider) throws Exception {
        byte[] message = "a message".getBytes(StandardCharsets.US_ASCII);
        for (String algorithm : new String[] {"SHA256withECDSA", "SHA384withECDSA"}) {
            Signature signature = Signature.getInstance(algorithm, provider);
            signature.initSign(key);
            signature.update(message);
            byte[] signed = signature.sign();
            Signature verification = Signature.getInstance(algorithm, "SunEC");
            verification.initVerify(own.getPublicKey());
            verification.update(message);
            if (!verification.verify(signed)) {
                throw new IllegalStateException(algorithm + ": the signature is wrong");
            }
        }
    }
}
