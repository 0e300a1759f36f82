package neuronova.hapi;

import ca.uhn.fhir.jpa.api.config.JpaStorageSettings;
import ca.uhn.fhir.jpa.api.dao.IFhirSystemDao;
import ca.uhn.fhir.jpa.provider.JpaCapabilityStatementProvider;
import ca.uhn.fhir.jpa.provider.JpaSystemProvider;
import ca.uhn.fhir.jpa.search.DatabaseBackedPagingProvider;
import ca.uhn.fhir.context.FhirContext;
import ca.uhn.fhir.context.support.IValidationSupport;
import ca.uhn.fhir.rest.server.HardcodedServerAddressStrategy;
import ca.uhn.fhir.rest.server.RestfulServer;
import ca.uhn.fhir.rest.server.provider.ResourceProviderFactory;
import ca.uhn.fhir.rest.server.util.ISearchParamRegistry;
import java.io.File;
import java.nio.file.Files;
import org.apache.catalina.connector.Connector;
import org.apache.catalina.startup.Tomcat;
import org.springframework.context.annotation.AnnotationConfigApplicationContext;

/**
 * Starts HAPI FHIR's JPA server on 127.0.0.1, over a database in memory or on PostgreSQL. It validates nothing that HAPI
 * does not validate by itself and changes no setting of HAPI beyond those in {@link Storage}.
 *
 * <p>Usage: {@code java -jar hapi-server.jar PORT [jdbc:postgresql://...]}; the base address is {@code http://127.0.0.1:PORT/fhir}.
 */
public final class Main {
    private Main() {}

    public static void main(String[] arguments) throws Exception {
        int port = Integer.parseInt(arguments[0]);
        if (arguments.length > 1) {
            System.setProperty(Storage.DATABASE, arguments[1]);
        }
        var context = new AnnotationConfigApplicationContext(Storage.class);
        var server = new Tomcat();
        server.setBaseDir(Files.createTempDirectory(new File(".").toPath(), "tomcat").toString());
        var connector = new Connector();
        connector.setPort(port);
        connector.setProperty("address", "127.0.0.1");
        connector.setProperty("maxThreads", "16");
        server.setConnector(connector);
        var web = server.addContext("", new File(".").getAbsolutePath());
        Tomcat.addServlet(web, "fhir", restful(context, port)).setLoadOnStartup(1);
        web.addServletMappingDecoded("/fhir/*", "fhir");
        server.start();
        server.getServer().await();
    }

    private static RestfulServer restful(AnnotationConfigApplicationContext context, int port) {
        var fhir = context.getBean(FhirContext.class);
        var storage = context.getBean(JpaStorageSettings.class);
        var server = new RestfulServer(fhir);
        server.registerProviders(context.getBean("myResourceProvidersR4", ResourceProviderFactory.class)
                .createProviders());
        server.registerProvider(context.getBean(JpaSystemProvider.class));
        server.setPagingProvider(context.getBean(DatabaseBackedPagingProvider.class));
        server.setServerAddressStrategy(new HardcodedServerAddressStrategy("http://127.0.0.1:" + port + "/fhir"));
        var conformance = new JpaCapabilityStatementProvider(
                server,
                (IFhirSystemDao<?, ?>) context.getBean("mySystemDaoR4"),
                storage,
                context.getBean(ISearchParamRegistry.class),
                context.getBean(IValidationSupport.class));
        conformance.setImplementationDescription("HAPI FHIR JPA for tests");
        server.setServerConformanceProvider(conformance);
        server.setDefaultResponseEncoding(ca.uhn.fhir.rest.api.EncodingEnum.JSON);
        return server;
    }
}
