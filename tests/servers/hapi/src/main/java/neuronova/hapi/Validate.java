package neuronova.hapi;

import ca.uhn.fhir.context.FhirContext;
import ca.uhn.fhir.context.support.DefaultProfileValidationSupport;
import ca.uhn.fhir.parser.StrictErrorHandler;
import ca.uhn.fhir.validation.ResultSeverityEnum;
import ca.uhn.fhir.validation.SingleValidationMessage;
import java.nio.file.Files;
import java.nio.file.Path;
import org.hl7.fhir.common.hapi.validation.support.CommonCodeSystemsTerminologyService;
import org.hl7.fhir.common.hapi.validation.support.InMemoryTerminologyServerValidationSupport;
import org.hl7.fhir.common.hapi.validation.support.ValidationSupportChain;
import org.hl7.fhir.common.hapi.validation.validator.FhirInstanceValidator;

/**
 * Judges files of resources by HAPI's strict parser and by its validator with the definitions of R4, and prints each error
 * as {@code FILE<TAB>LOCATION: MESSAGE}. Extensions and profiles that it has no definitions of are let pass: those are
 * judged by rules of our own.
 */
public final class Validate {
    private Validate() {}

    public static void main(String[] files) throws Exception {
        var fhir = FhirContext.forR4();
        fhir.setParserErrorHandler(new StrictErrorHandler());
        var support = new ValidationSupportChain(
                new DefaultProfileValidationSupport(fhir),
                new CommonCodeSystemsTerminologyService(fhir),
                new InMemoryTerminologyServerValidationSupport(fhir));
        var module = new FhirInstanceValidator(support);
        module.setAnyExtensionsAllowed(true);
        module.setErrorForUnknownProfiles(false);
        var validator = fhir.newValidator().registerValidatorModule(module);
        for (String file : files) {
            String text = Files.readString(Path.of(file));
            try {
                fhir.newJsonParser().parseResource(text);
            } catch (RuntimeException error) {
                print(file, "parser", error.getMessage());
                continue;
            }
            for (SingleValidationMessage message : validator.validateWithResult(text).getMessages()) {
                if (message.getSeverity().compareTo(ResultSeverityEnum.ERROR) >= 0) {
                    print(file, message.getLocationString(), message.getMessage());
                }
            }
        }
    }

    private static void print(String file, String place, String message) {
        System.out.println(file + "\t" + place + ": " + message.replace('\n', ' '));
    }
}
